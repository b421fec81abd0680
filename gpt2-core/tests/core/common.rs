//! A small model, its inputs, and how results are compared.

use burn::tensor::{Device, Tensor, TensorData, Tolerance};
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, device};

pub fn config() -> Gpt2Config {
    Gpt2Config {
        vocab_size: 61,
        n_positions: 24,
        n_embd: 24,
        n_layer: 3,
        n_head: 4,
        initializer_range: 0.2,
        ..Gpt2Config::gpt2()
    }
}

pub fn model(device: &Device) -> Gpt2 {
    Gpt2::init(&config(), 7, device).unwrap()
}

pub fn ids(count: usize, start: u32) -> Vec<u32> {
    (0..count as u32).map(|i| (start + i * 17) % 61).collect()
}

pub fn devices() -> Vec<Device> {
    device::test_devices().into_iter().map(|(_, device)| device).collect()
}

pub fn assert_close<const D: usize>(a: &Tensor<D>, b: &Tensor<D>) {
    a.to_data().assert_approx_eq::<f32>(&b.to_data(), Tolerance::absolute(2e-5));
}

pub fn batch(rows: &[Vec<u32>], device: &Device) -> Gpt2Batch {
    Gpt2Batch::new(rows, &config(), device).unwrap()
}

/// Numbers of both signs that are the same on every device.
pub fn numbers<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let count = shape.iter().product::<usize>() as u64;
    let number = |at: u64| {
        let bits = (at + seed * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        bits as f32 / (1 << 23) as f32 - 1.0
    };
    Tensor::from_data(TensorData::new((0..count).map(number).collect::<Vec<_>>(), shape), device)
}
