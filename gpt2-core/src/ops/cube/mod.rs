//! The fused operations on GPUs, as kernels in CubeCL's language: one source for Vulkan, Metal, DX12 and CUDA.

mod attention;
mod mask;
