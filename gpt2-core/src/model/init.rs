//! A new model with random weights.

use burn::tensor::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use super::Gpt2;
use crate::{Error, Gpt2Config, Result};

impl Gpt2 {
    /// A new model, with the distribution of `transformers`' `_init_weights`: weights are normal
    /// with deviation `initializer_range`, the two projections that end in the residual stream
    /// with `initializer_range / sqrt(2 n_layer)`, LayerNorm weights are 1 and biases 0.
    ///
    /// One seed gives one model on every platform and backend.
    ///
    /// # Errors
    /// [`Error::Field`] from [`Gpt2Config::validate`].
    pub fn init(config: &Gpt2Config, seed: u64, device: &Device) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let narrow = config.initializer_range / (2.0 * config.n_layer as f64).sqrt();
        Self::from_values(config, device, |name, shape| {
            let count = shape.iter().product();
            if name.ends_with(".bias") {
                return Ok(vec![0.0; count]);
            }
            if name.contains("ln_") {
                return Ok(vec![1.0; count]);
            }
            let projection = name.ends_with("c_proj.weight");
            let deviation = if projection { narrow } else { config.initializer_range };
            let normal = Normal::new(0.0, deviation as f32).map_err(|_| {
                Error::field("initializer_range", config.initializer_range, "a positive number")
            })?;
            Ok(normal.sample_iter(&mut random).take(count).collect())
        })
    }
}
