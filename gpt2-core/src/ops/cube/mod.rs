//! The fused operations on GPUs: one set of kernels in CubeCL for CUDA, Vulkan, Metal and DX12.
//!
//! A file has what belongs to one operation: kernels, and functions of tensors that launch them. Sums are made in `f32`, in a
//! fixed order, so that a run gives the same bits twice; numbers may be `f32`, `f16` or `bf16` where they lie.

mod activation;
mod attention;
mod backend;
mod bias;
mod cross_entropy;
mod dropout;
mod embedding;
#[cfg(feature = "cuda")]
mod exact;
mod groups;
mod kernels;
mod lanes;
mod layer_norm;
mod linear;
mod mask;
mod moments;
mod norms;
mod sample;
mod scatter;
mod tensors;
#[cfg(test)]
mod tests;
mod words;
