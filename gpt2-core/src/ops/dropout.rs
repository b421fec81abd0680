//! Dropout that follows the device: on while training, off otherwise.

use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::fused::{self, FusedOps};

/// Where the masks of one forward pass come from: each call of [`dropout`] takes the next one.
///
/// It belongs to the pass and not to the device, so two trainings in one process do not disturb
/// each other, and one seed gives one result.
#[derive(Debug, Clone)]
pub struct DropoutMasks {
    seed: u64,
    taken: u64,
}

impl DropoutMasks {
    /// The masks of a seed; `None` draws one from the operating system.
    #[must_use]
    pub fn new(seed: Option<u64>) -> Self {
        Self { seed: seed.unwrap_or_else(rand::random), taken: 0 }
    }

    pub(super) fn next_key(&mut self) -> u64 {
        self.taken += 1;
        hash(self.seed).wrapping_add(hash(self.taken))
    }
}

/// A mask that is made where it is used: element pair `i` is a hash of the key and `i`, so it does not depend
/// on the number of threads either.
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    key: u64,
    threshold: u32,
    scale: f32,
}

impl Mask {
    pub(super) fn new(key: u64, p: f64) -> Self {
        Self { key, threshold: (p * 2f64.powi(32)) as u32, scale: (1.0 / (1.0 - p)) as f32 }
    }

    /// What it is made of: key, bits below which an element is 0, value of the others.
    #[cfg(feature = "cube")]
    pub(super) fn parts(self) -> (u64, u32, f32) {
        (self.key, self.threshold, self.scale)
    }

    /// The mask's element at a place: 0 or `1 / (1 - p)`.
    #[inline(always)]
    pub(super) fn at(self, place: u64) -> f32 {
        let bits = hash(self.key.wrapping_add(place / 2)) >> (32 * (place % 2));
        if bits as u32 >= self.threshold { self.scale } else { 0.0 }
    }

    /// The mask's elements from an even place on: 0 or `1 / (1 - p)`.
    #[inline(always)]
    pub(super) fn fill(self, first: usize, elements: &mut [f32]) {
        let Self { key, threshold, scale } = self;
        let first = key.wrapping_add(first as u64 / 2);
        for (pair, elements) in elements.chunks_mut(2).enumerate() {
            let mut bits = hash(first.wrapping_add(pair as u64));
            for element in elements {
                *element = if bits as u32 >= threshold { scale } else { 0.0 };
                bits >>= 32;
            }
        }
    }
}

/// Sets elements to zero with probability `p` and scales the others by `1 / (1 - p)`.
///
/// Does nothing unless the tensor is on a training (autodiff) device. Equals `torch.nn.Dropout`.
#[must_use]
pub fn dropout<const D: usize>(x: Tensor<D>, p: f64, masks: &mut DropoutMasks) -> Tensor<D> {
    if p == 0.0 || !x.is_autodiff() {
        return x;
    }
    if fused::is_ours(&x) {
        let mask = Mask::new(masks.next_key(), p);
        return Tensor::from_dispatch(<Dispatch as FusedOps>::dropout(x.into_dispatch(), mask));
    }
    by_parts(x, p, masks)
}

/// `dropout(x) + residual`.
#[must_use]
pub fn dropout_residual<const D: usize>(
    x: Tensor<D>,
    residual: Tensor<D>,
    p: f64,
    masks: &mut DropoutMasks,
) -> Tensor<D> {
    if p != 0.0 && x.is_autodiff() && fused::is_ours(&x) && fused::is_ours(&residual) {
        let (mask, x) = (Mask::new(masks.next_key(), p), x.into_dispatch());
        let output = <Dispatch as FusedOps>::dropout_residual(x, residual.into_dispatch(), mask);
        return Tensor::from_dispatch(output);
    }
    dropout(x, p, masks) + residual
}

/// The mask as a tensor, and a product with it.
#[must_use]
pub fn by_parts<const D: usize>(x: Tensor<D>, p: f64, masks: &mut DropoutMasks) -> Tensor<D> {
    let mask = host_mask(x.dims(), Mask::new(masks.next_key(), p), &x.device()).cast(x.dtype());
    x * mask
}

/// Elements that one thread fills at a time.
const CHUNK: usize = 1 << 15;

/// A mask, drawn on all cores.
///
/// The CPU backends draw their numbers one after the other with a cryptographic generator, which
/// took a fifth of a training step. GPUs have one generator for all threads of a process, whose state would decide what a seed
/// gives; a mask of the host is the same on every device.
fn host_mask<const D: usize>(shape: [usize; D], mask: Mask, device: &Device) -> Tensor<D> {
    let mut elements = vec![0f32; shape.iter().product()];
    elements
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, elements)| mask.fill(chunk * CHUNK, elements));
    Tensor::from_data(TensorData::new(elements, shape), device)
}

/// The output function of splitmix64 (Steele, Lea and Flood 2014).
#[inline(always)]
fn hash(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device;

    #[test]
    fn a_mask_keeps_the_mean_and_drops_its_share() {
        let device = device::test_device().autodiff();
        let mut masks = DropoutMasks::new(Some(3));
        let mask = dropout(Tensor::<2>::ones([301, 333], &device), 0.1, &mut masks);
        let values: Vec<f32> = mask.inner().try_into_vec_as().unwrap();
        let dropped = values.iter().filter(|&&value| value == 0.0).count() as f64;
        let share = dropped / values.len() as f64;
        // Five standard deviations of a share of 0.1 in 100,233 draws.
        assert!((share - 0.1).abs() < 5.0 * (0.09f64 / 100_233.0).sqrt(), "{share}");
        assert!(values.iter().all(|&value| value == 0.0 || (value - 1.0 / 0.9).abs() < 1e-6));
        // Neighbours are independent: both are dropped in a hundredth of the pairs.
        let pairs = values.windows(2).filter(|pair| pair == &[0.0, 0.0]).count() as f64;
        assert!((pairs / values.len() as f64 - 0.01).abs() < 0.002, "{pairs}");
    }
}
