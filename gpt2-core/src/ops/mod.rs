//! The arithmetic of a GPT-2, as functions of tensors.
//!
//! Every function is composed of ordinary differentiable operations, so it runs, and trains, on
//! every Burn backend.

mod activation;
mod attention;
mod cross_entropy;
mod dropout;

pub use activation::activate;
pub use attention::{Attended, AttentionBias, AttentionScale, attention};
pub use cross_entropy::{cross_entropy, token_accuracy};
pub use dropout::{DropoutMasks, dropout};
