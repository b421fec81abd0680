//! The arithmetic of a GPT-2, as functions of tensors.
//!
//! Every function is composed of ordinary differentiable operations, so it runs, and trains, on
//! every Burn backend. Some have a faster body for a backend, with and without gradients: those are the
//! methods of `fused::FusedOps`. `cpu` has the ones of `flex`, `cube` those of GPUs, `autodiff` the ways back. [`plain`] has the ordinary
//! bodies alone.

use burn::tensor::{DType, Device, TensorData};

mod activation;
mod adamw;
mod attention;
mod autodiff;
mod causal_attention;
mod compact_weight;
#[cfg(feature = "flex")]
mod cpu;
mod cross_entropy;
#[cfg(feature = "cube")]
mod cube;
mod dropout;
mod embedding;
mod fused;
mod layer_norm;
mod linear;
mod list;
mod mlp;
pub mod plain;
mod precision;
mod quantized;
mod rows;
mod sample;
#[cfg(feature = "cube")]
mod shapes;
#[cfg(feature = "cube")]
mod words;
mod worker;

use burn::tensor::Tensor;

pub use activation::activate;
pub use adamw::{AdamWMoved, AdamWParameters, AdamWUpdate, SquaredNorms, add_scaled};
pub use attention::{
    Attended, AttentionBias, AttentionScale, attend_in_place, attends_in_place, attention,
};
pub use causal_attention::{causal_attention, heads_apart, heads_together};
pub use compact_weight::CompactWeight;
pub use cross_entropy::{
    cross_entropy, linear_cross_entropy, linear_cross_entropy_and_hits, token_accuracy,
};
pub use dropout::{DropoutMasks, dropout, dropout_residual};
pub use embedding::{TokenTable, embedding};
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_activated, linear_residual, scores};
pub use mlp::{MlpWeights, mlp};
pub use precision::{
    Float32MatmulPrecision, float32_matmul_precision, set_float32_matmul_precision,
};
pub use quantized::{
    quantized_cross_entropy, quantized_linear, quantized_linear_activated,
    quantized_linear_residual, quantized_rows, quantized_scores, takes_quantized,
};
pub use rows::move_rows;
pub use sample::{
    Chosen, ChosenIds, NoChoice, SampleOptions, choose_highest, choose_sampled, takes_choices,
};
pub(crate) use worker::on_a_worker;

/// Whether what the environment asks of the operations means something here.
pub(crate) fn check_environment() -> crate::Result<()> {
    #[cfg(feature = "flex")]
    cpu::level::check()?;
    fused::check().map(drop)
}

/// The name of the instructions in use.
#[cfg(feature = "flex")]
pub(crate) fn instructions() -> &'static str {
    cpu::level::level().name()
}

/// Whether operations take their fused bodies for tensors like `x`.
#[must_use]
pub fn is_fused<const D: usize>(x: &Tensor<D>) -> bool {
    fused::is_ours(x)
}

/// Weights for a device, where `flex` reads them fastest.
pub(crate) fn weights(values: Vec<f32>, shape: Vec<usize>, device: &Device) -> TensorData {
    #[cfg(feature = "flex")]
    if *device == Device::flex() {
        return TensorData::from_bytes(cpu::memory::lasting(values), shape, DType::F32);
    }
    TensorData::new(values, shape)
}

/// Gives memory back that operations have kept for their next call: after a run, say, in a program that goes on.
///
/// What the CPU backend `flex` computes lies in buffers that are used again. They are bounded by what was once in use at
/// the same time; this releases those that no tensor uses now.
pub fn release_memory() {
    #[cfg(feature = "flex")]
    cpu::memory::release();
}

/// Bytes of the buffers that [`release_memory`] is about, in use and idle.
#[must_use]
pub fn reserved_memory() -> usize {
    #[cfg(feature = "flex")]
    return cpu::memory::reserved();
    #[cfg(not(feature = "flex"))]
    0
}
