//! The fused operations on the CPU backend `flex`.
//!
//! Each does what ordinary operations do elsewhere (see the module above), and is tested against
//! them. They read tensors where they lie in memory.

mod activation;
mod adamw;
mod attention;
mod cross_entropy;
mod dropout;
mod embedding;
mod flex;
mod gemm;
mod kernels;
mod layer_norm;
pub(crate) mod level;
mod linear;
pub(crate) mod memory;
mod output;
mod parallel;
mod quantized;
mod rows;
#[cfg(test)]
mod samples;
mod simd;
mod sums;
mod tensors;
mod tile;
