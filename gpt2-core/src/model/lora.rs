//! Low-rank weights beside the weights of a model (LoRA, Hu et al. 2021).

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Uniform};

use super::Gpt2;
use super::source::{self, Read};
use crate::lora::LoraConfig;
use crate::{Error, Result, ops};

/// One of the two factors: a linear map without bias, stored as PyTorch's `Linear` is.
#[derive(Module, Debug)]
pub(super) struct LoraLinear {
    /// `[out, in]`.
    pub weight: Param<Tensor<2>>,
}

impl LoraLinear {
    fn load(read: &mut Read<'_>, name: &str, shape: [usize; 2], device: &Device) -> Result<Self> {
        let values = read(name, &shape)?;
        let data = source::data(name, values, shape.to_vec(), device)?;
        Ok(Self { weight: Param::from_data(data, device) })
    }

    /// `x @ weight^T`.
    ///
    /// # Shapes
    /// - x: `[batch, seq, in]`
    /// - output: `[batch, seq, out]`
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        ops::scores(x, self.weight.val())
    }
}

impl Gpt2 {
    /// The model with fresh low-rank weights beside those of the target modules: A from the uniform
    /// distribution within `1 / sqrt(in)`, B zero, so that it computes what it did before.
    ///
    /// A trainer trains these weights and no others. Source: `LoraLayer.reset_lora_parameters` of
    /// PEFT (Kaiming-uniform with `a = sqrt(5)`). One seed gives one result on every platform.
    ///
    /// # Errors
    /// [`Error::Field`] from [`LoraConfig::validate`] and for a target that the model has not;
    /// [`Error::Argument`] when the model has LoRA already.
    ///
    /// # Example
    /// ```
    /// use gpt2_core::{Gpt2, Gpt2Config, LoraConfig, device};
    ///
    /// let config = Gpt2Config { vocab_size: 9, n_embd: 8, n_layer: 1, n_head: 1, ..Gpt2Config::gpt2() };
    /// let lora = LoraConfig { r: 2, ..LoraConfig::default() };
    /// let model = Gpt2::init(&config, 1, &device::best()?)?.with_lora(&lora, 42)?;
    /// assert!(model.parameters().iter().any(|p| p.name == "h.0.attn.c_attn.lora_A.weight"));
    /// assert!(model.merge_lora().lora().is_none());
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn with_lora(self, config: &LoraConfig, seed: u64) -> Result<Self> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        self.attach_lora(config, &mut |name, shape| {
            let count = shape.iter().product();
            if name.ends_with(".lora_B.weight") {
                return Ok(vec![0.0; count]);
            }
            let bound = 1.0 / (shape[1] as f32).sqrt();
            let uniform = Uniform::new(-bound, bound)
                .map_err(|_| Error::argument("shape", shape[1], "a width above 0"))?;
            Ok(uniform.sample_iter(&mut random).take(count).collect())
        })
    }

    /// Puts low-rank weights in, which `read` gives in the order of [`LoraConfig::parameters`].
    pub(crate) fn attach_lora(mut self, config: &LoraConfig, read: &mut Read<'_>) -> Result<Self> {
        if self.lora.is_some() {
            let expected = "one without; `merge_lora` makes it one";
            return Err(Error::argument("model", "one with LoRA", expected));
        }
        if self.is_compact() {
            let expected = "one of f32; quantize it when LoRA is merged";
            return Err(Error::argument("model", "quantized or of bf16", expected));
        }
        let device = self.device();
        let mut shapes = config.parameters(&self.config)?.into_iter();
        for (layer, block) in self.h.iter_mut().enumerate() {
            for (part, module) in block.projections() {
                if !config.is_target(&format!("h.{layer}.{part}")) {
                    continue;
                }
                let mut next = || match shapes.next() {
                    Some((name, shape)) => LoraLinear::load(read, &name, shape, &device),
                    None => Err(Error::argument("name", part, "a module of the configuration")),
                };
                module.attach_lora(config, next()?, next()?);
            }
        }
        self.lora = Some(config.clone());
        Ok(self)
    }

    /// What low-rank weights there are.
    #[must_use]
    pub fn lora(&self) -> Option<&LoraConfig> {
        self.lora.as_ref()
    }

    /// An ordinary model that computes the same, off the training device: `scaling * (B @ A)^T` is
    /// added to every weight that has low-rank weights beside it, and these are gone.
    ///
    /// A model without LoRA comes back as it is. Equals `merge_and_unload` of PEFT.
    #[must_use]
    pub fn merge_lora(self) -> Self {
        if self.lora.is_none() {
            return self;
        }
        let mut merged = self.valid();
        for block in &mut merged.h {
            for (_, module) in block.projections() {
                module.merge_lora();
            }
        }
        merged.lora = None;
        merged
    }
}
