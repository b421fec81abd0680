//! What the benchmarks run: one model, the same on every backend, and one synthetic text.

use burn::tensor::Device;
use gpt2_core::device::{self, AdapterKind, DeviceInfo};
use gpt2_core::{Gpt2, Gpt2Config};

/// The model that is measured.
///
/// By default a small one, so that all benchmarks finish within minutes on two cores. With the
/// environment variable `GPT2_BENCH_MODEL=gpt2` it is GPT-2 small itself.
///
/// # Panics
/// If the variable holds anything else.
#[must_use]
pub fn config() -> Gpt2Config {
    match std::env::var("GPT2_BENCH_MODEL").as_deref() {
        Ok("gpt2") => Gpt2Config::gpt2(),
        Ok(other) => panic!("GPT2_BENCH_MODEL is `{other}`, expected `gpt2` or nothing"),
        Err(_) => Gpt2Config {
            vocab_size: 4_000,
            n_positions: 256,
            n_embd: 256,
            n_layer: 4,
            n_head: 8,
            ..Gpt2Config::gpt2()
        },
    }
}

/// Every device that is compiled in and present, software renderers apart, with its name; or the one that
/// `GPT2_TEST_DEVICE` names.
///
/// # Panics
/// If one of them cannot be opened.
#[must_use]
pub fn devices() -> Vec<(String, Device)> {
    if std::env::var_os("GPT2_TEST_DEVICE").is_some() {
        return device::test_devices();
    }
    let real = |info: &DeviceInfo| {
        info.adapter.as_ref().is_none_or(|adapter| adapter.kind != AdapterKind::Software)
    };
    let open = |info: DeviceInfo| {
        let device = device::by_name(&info.name).expect("a listed device opens");
        (info.name, device)
    };
    device::available().into_iter().filter(real).map(open).collect()
}

/// The model with random weights.
///
/// # Panics
/// If the configuration is wrong, which the one above is not.
#[must_use]
pub fn model(device: &Device) -> Gpt2 {
    Gpt2::init(&config(), 1, device).expect("the configuration is valid")
}

/// `count` token ids that look like no text at all, but cost as much.
#[must_use]
pub fn ids(count: usize) -> Vec<u32> {
    let vocab_size = config().vocab_size as u32;
    (0..count as u32).map(|at| at.wrapping_mul(2_654_435_761) % vocab_size).collect()
}
