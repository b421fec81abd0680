//! The fused operations on GPUs, as kernels in CubeCL's language: one source for Vulkan, Metal, DX12 and CUDA.

mod activation;
mod attention;
mod bias;
mod dropout;
mod embedding;
mod lanes;
mod layer_norm;
mod mask;
mod moments;
mod scatter;
mod tensors;
#[cfg(test)]
mod tests;
