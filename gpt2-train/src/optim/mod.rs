//! From gradients to new weights.

mod adamw;
mod clip;

pub use adamw::{AdamW, AdamWConfig, decays};
pub(crate) use clip::total_norm;
pub use clip::{ClipMode, clip_factors, gradient_norms};
