//! The ordinary bodies of operations that have faster ones, as measures for those.

pub use super::activation::by_parts as gelu;
pub use super::adamw::by_parts as adamw;
pub use super::causal_attention::by_parts as causal_attention;
pub use super::cross_entropy::by_parts as linear_cross_entropy;
pub use super::dropout::by_parts as dropout;
pub use super::embedding::by_parts as embedding;
pub use super::layer_norm::by_parts as layer_norm;
pub use super::linear::{by_parts as linear, scores_by_parts as scores};
