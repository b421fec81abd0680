//! Dropout that follows the device: on while training, off otherwise.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rayon::prelude::*;

use crate::device;

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

    fn next_key(&mut self) -> u64 {
        self.taken += 1;
        hash(self.seed).wrapping_add(hash(self.taken))
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
    let (key, device) = (masks.next_key(), x.device());
    if device::is_cpu(&device) {
        let mask = host_mask(x.dims(), p, key, &device).cast(x.dtype());
        return x * mask;
    }
    device.seed(key);
    let keep = x.random_like(Distribution::Bernoulli(1.0 - p));
    x * (keep * (1.0 / (1.0 - p)))
}

/// Elements that one thread fills at a time.
const CHUNK: usize = 1 << 15;

/// A mask of 0 and `1 / (1 - p)`, drawn on all cores.
///
/// The CPU backends draw their numbers one after the other with a cryptographic generator, which
/// took a fifth of a training step. Here element pair `i` is a hash of the key and `i`, so the mask
/// does not depend on the number of threads either.
fn host_mask<const D: usize>(shape: [usize; D], p: f64, key: u64, device: &Device) -> Tensor<D> {
    let threshold = (p * 2f64.powi(32)) as u32;
    let scale = (1.0 / (1.0 - p)) as f32;
    let mut mask = vec![0f32; shape.iter().product()];
    mask.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, elements)| {
        let first = chunk * CHUNK / 2;
        for (pair, elements) in elements.chunks_mut(2).enumerate() {
            let mut bits = hash(key.wrapping_add((first + pair) as u64));
            for element in elements {
                if bits as u32 >= threshold {
                    *element = scale;
                }
                bits >>= 32;
            }
        }
    });
    Tensor::from_data(TensorData::new(mask, shape), device)
}

/// The output function of splitmix64 (Steele, Lea and Flood 2014).
#[inline(always)]
pub(super) fn hash(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_keeps_the_mean_and_drops_its_share() {
        let device = device::best().unwrap().autodiff();
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
