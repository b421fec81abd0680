//! From gradients to new weights.

mod adamw;
mod clip;
mod freeze;

pub use adamw::{AdamForm, AdamW, AdamWConfig, AdamWStep, Factors, decays, is_norm};
pub(crate) use clip::total_norm;
pub use clip::{ClipMode, clip_factors, clip_factors_on_device, gradient_squares};
pub use freeze::require_gradients;
