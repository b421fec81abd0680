//! A model whose weights are whole numbers, and back.

use burn::module::Module;

use super::Gpt2;
use crate::ops::CompactWeight;
use crate::quantize::{CompactFormat, CompactMatrix, Quantization, QuantizedMatrix};
use crate::weights::names;
use crate::{Error, Result};

impl Gpt2 {
    /// The model with quantized weights, for inference.
    ///
    /// On `flex` and on GPUs, without gradients, products are then computed with whole numbers and the floats are gone. On
    /// `ndarray` every weight is computed from its whole numbers when it is first used, and kept: the same rounded
    /// weights, without savings. [`parameters`](Self::parameters) computes all of them.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model with LoRA, which has to be merged first; [`Error::Compute`] when the device
    /// fails.
    ///
    /// # Example
    /// ```
    /// use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, Quantization, device};
    ///
    /// let config = Gpt2Config { vocab_size: 99, n_embd: 32, n_layer: 1, n_head: 2, ..Gpt2Config::gpt2() };
    /// let device = device::best()?;
    /// let model = Gpt2::init(&config, 1, &device)?.quantize(Quantization::Int8)?;
    /// assert_eq!(model.quantization(), Some(Quantization::Int8));
    /// let logits = model.forward(&Gpt2Batch::new(&[vec![5, 17, 3]], &config, &device)?);
    /// assert_eq!(logits.dims(), [1, 3, 99]);
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn quantize(self, quantization: Quantization) -> Result<Self> {
        if self.lora.is_some() {
            return Err(Error::argument("model", "one with LoRA", "one without: merge it first"));
        }
        if self.quantization() == Some(quantization) {
            return Ok(self);
        }
        let formats = [quantization.format(), quantization.table_format()];
        let mut model = self.dequantize().compact_to(formats.map(CompactFormat::Int))?;
        model.config.quantization_config = Some(quantization);
        Ok(model)
    }

    /// The model with the weights that [`quantize`](Self::quantize) concerns in bf16: half of the memory, and in
    /// decoding half of the time, which goes into reading them. Arithmetic stays that of f32, but for products of many
    /// rows on a GPU that multiplies in bf16.
    ///
    /// # Errors
    /// As [`quantize`](Self::quantize).
    pub fn bf16_weights(self) -> Result<Self> {
        if self.lora.is_some() {
            return Err(Error::argument("model", "one with LoRA", "one without: merge it first"));
        }
        self.dequantize().compact_to([CompactFormat::Bf16; 2])
    }

    /// Keeps the weights of the blocks in one format and tables in another.
    fn compact_to(mut self, [products, tables]: [CompactFormat; 2]) -> Result<Self> {
        for block in &mut self.h {
            for (_, module) in block.projections() {
                module.compact_to(products)?;
            }
        }
        for table in std::iter::once(&mut self.wte).chain(&mut self.lm_head) {
            table.compact_to(tables)?;
        }
        Ok(self)
    }

    /// The model with the floats that its whole numbers, or numbers in bf16, stand for. One of floats comes back as it
    /// is.
    #[must_use]
    pub fn dequantize(mut self) -> Self {
        for block in &mut self.h {
            for (_, module) in block.projections() {
                module.expand();
            }
        }
        for table in std::iter::once(&mut self.wte).chain(&mut self.lm_head) {
            table.expand();
        }
        self.config.quantization_config = None;
        self
    }

    /// Whether the weights are in fewer bits, quantized or in bf16.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        self.wte.compact().is_some()
    }

    /// What the weights of products are computed with: `f32`, `bf16`, `int8` or `int4`.
    #[must_use]
    pub fn weight_dtype(&self) -> &'static str {
        match self.quantization() {
            Some(quantization) => quantization.name(),
            None if self.is_compact() => "bf16",
            None => "f32",
        }
    }

    /// How the weights are quantized; `None` for floats.
    #[must_use]
    pub fn quantization(&self) -> Option<Quantization> {
        self.config.quantization_config
    }

    /// The quantized weights by the names of their parameters.
    pub(crate) fn quantized_weights(&self) -> Vec<(String, QuantizedMatrix)> {
        let blocks = self.h.iter().enumerate().flat_map(|(layer, block)| {
            let modules = [
                ("attn.c_attn", &block.attn.c_attn),
                ("attn.c_proj", &block.attn.c_proj),
                ("mlp.c_fc", &block.mlp.c_fc),
                ("mlp.c_proj", &block.mlp.c_proj),
            ];
            modules.map(|(module, layer_of)| {
                (format!("h.{layer}.{module}.weight"), layer_of.compact())
            })
        });
        let wte = ("wte.weight".to_string(), self.wte.compact());
        let head = self.lm_head.as_ref().map(|head| (names::LM_HEAD.to_string(), head.compact()));
        let all = std::iter::once(wte).chain(blocks).chain(head);
        let quantized = |(name, weight): (String, Option<&CompactWeight>)| match weight
            .map(CompactWeight::matrix)
        {
            Some(CompactMatrix::Quantized(matrix)) => Some((name, matrix.clone())),
            Some(CompactMatrix::Half(_)) | None => None,
        };
        all.filter_map(quantized).collect()
    }

    /// The model off the training device, where dropout is off and no gradients are recorded. One that is there
    /// comes back as it is.
    ///
    /// Unlike [`Module::valid`], this leaves quantized weights what they are.
    #[must_use]
    pub fn valid(&self) -> Self {
        match self.device().is_autodiff() {
            true => Module::valid(self),
            false => self.clone(),
        }
    }
}
