//! The arithmetic of a GPT-2, as functions of tensors.
//!
//! Every function is composed of ordinary differentiable operations, so it runs, and trains, on
//! every Burn backend. Where gradients are not recorded, some have a faster body for a backend:
//! `cpu` is for `flex`.

mod activation;
mod adamw;
mod attention;
#[cfg(feature = "flex")]
mod cpu;
mod cross_entropy;
mod dropout;
mod linear;
mod rows;

pub use activation::activate;
pub use adamw::{AdamWUpdate, adamw, add_scaled, squared_norm};
pub use attention::{
    Attended, AttentionBias, AttentionScale, attend_in_place, attends_in_place, attention,
};
pub use cross_entropy::{cross_entropy, token_accuracy};
pub use dropout::{DropoutMasks, dropout};
pub use linear::{linear, scores};
pub use rows::move_rows;

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
