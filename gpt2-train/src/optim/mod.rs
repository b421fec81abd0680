//! From gradients to new weights.

mod adamw;
mod clip;
mod freeze;

pub use adamw::{AdamForm, AdamW, AdamWConfig, AdamWStep, decays, is_norm};
pub(crate) use clip::total_norm;
pub use clip::{ClipMode, clip_factors, gradient_norms};
pub use freeze::require_gradients;
