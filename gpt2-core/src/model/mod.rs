//! [`Gpt2`]: embeddings, blocks, head.
//!
//! Read it bottom-up: [`layers`], [`attention`], [`mlp`], [`block`], and this file on top. Fields
//! bear the names of the checkpoint, so a parameter's path through the modules is its name.

pub mod attention;
mod autocast;
pub mod batch;
pub mod block;
pub mod cache;
mod hidden_state;
mod init;
pub mod layers;
mod lora;
mod loss;
pub mod mlp;
mod parameters;
mod pieces;
mod places;
mod quantize;
mod resize;
mod source;

pub use batch::Gpt2Batch;
pub use cache::KvCache;
pub use parameters::NamedParameter;
pub use resize::mean_row;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use self::block::Block;
use self::cache::LayerCache;
use self::layers::{Embedding, LayerNorm};
use self::places::Places;
use self::source::TensorSource;
use crate::lora::LoraConfig;
use crate::ops::{self, CompactWeight, DropoutMasks, TokenTable};
use crate::weights::{Loaded, names};
use crate::{Gpt2Config, Result, device};

/// A GPT-2 language model (Radford et al. 2019): immutable weights, no hidden state.
///
/// Whether it trains is the device's business: on `device.autodiff()` dropout is on and gradients
/// are recorded, elsewhere neither; [`Module::train`] and [`Module::valid`] go between the two.
#[derive(Module, Debug)]
pub struct Gpt2 {
    /// Token embedding, `[vocab, embd]`; with tied embeddings also the head.
    pub wte: Embedding,
    /// Position embedding, `[n_positions, embd]`.
    pub wpe: Embedding,
    /// Blocks.
    pub h: Vec<Block>,
    /// Last LayerNorm.
    pub ln_f: LayerNorm,
    /// Head of its own, `[vocab, embd]`, where embeddings are not tied.
    pub lm_head: Option<Embedding>,
    embd_pdrop: f64,
    #[module(skip)]
    config: Gpt2Config,
    #[module(skip)]
    lora: Option<LoraConfig>,
}

/// Which inner results [`Gpt2::forward_with`] keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutputOptions {
    /// Keep the input of every block and the output of `ln_f`.
    pub hidden_states: bool,
    /// Keep the attention probabilities of every block.
    pub attentions: bool,
}

/// What [`Gpt2::forward_with`] returns.
#[derive(Debug, Clone)]
pub struct Gpt2Output {
    /// `[batch, seq, vocab]`.
    pub logits: Tensor<3>,
    /// `n_layer + 1` of `[batch, seq, embd]`: the embeddings, the output of every block but the
    /// last, and the output of `ln_f`. Empty unless asked for.
    pub hidden_states: Vec<Tensor<3>>,
    /// `n_layer` of `[batch, head, seq, seq]`. Empty unless asked for.
    pub attentions: Vec<Tensor<4>>,
}

/// Refuses weights that a GPU has no room for, before the first is read.
fn check_limits(config: &Gpt2Config, device: &Device) -> Result<()> {
    let Some(limits) = device::limits(device) else { return Ok(()) };
    let bytes = |(name, shape): &(String, Vec<usize>)| {
        let format = config.quantization_config.and_then(|found| found.format_of(name));
        let bits = format.map_or(32, |format| format.bits() as u64);
        bits * shape.iter().map(|&extent| extent as u64).product::<u64>() / 8
    };
    let parameters = names::parameters(config);
    let all = parameters.iter().map(bytes).sum();
    parameters.iter().try_for_each(|one| limits.check(&format!("`{}`", one.0), bytes(one), all))
}

impl Gpt2 {
    /// Builds a model from values that `read` gives for each canonical name and shape (see
    /// [`names::parameters`]), in the order of that list.
    ///
    /// # Errors
    /// [`Error::Field`](crate::Error::Field) from [`Gpt2Config::validate`]; [`Error::TooLarge`](crate::Error::TooLarge) and
    /// [`Error::OutOfMemory`](crate::Error::OutOfMemory) where a GPU has no room for the weights; what `read` says.
    pub fn from_values(
        config: &Gpt2Config,
        device: &Device,
        mut read: impl FnMut(&str, &[usize]) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        let config = Gpt2Config { quantization_config: None, ..config.clone() };
        Self::load(&config, device, &mut |name, shape| read(name, shape).map(Loaded::Float))
    }

    /// As [`from_values`](Self::from_values), of weights that are quantized as the configuration says.
    pub(crate) fn load(
        config: &Gpt2Config,
        device: &Device,
        load: &mut dyn FnMut(&str, &[usize]) -> Result<Loaded>,
    ) -> Result<Self> {
        config.validate()?;
        check_limits(config, device)?;
        let source = &mut TensorSource::new(config, device, load);
        Ok(Self {
            wte: Embedding::load(source, "wte")?,
            wpe: Embedding::load(source, "wpe")?,
            h: (0..config.n_layer)
                .map(|layer| Block::load(source, layer))
                .collect::<Result<_>>()?,
            ln_f: LayerNorm::load(source, "ln_f")?,
            lm_head: match config.tie_word_embeddings {
                true => None,
                false => Some(Embedding::load(source, names::LM_HEAD.trim_end_matches(".weight"))?),
            },
            embd_pdrop: config.embd_pdrop,
            config: config.clone(),
            lora: None,
        })
    }

    /// The configuration that the model was built from.
    #[must_use]
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// The device that the weights are on.
    #[must_use]
    pub fn device(&self) -> Device {
        // Not of a weight that may be in fewer bits.
        self.ln_f.weight.val().device()
    }

    /// Sets `resid_pdrop`, `embd_pdrop` and `attn_pdrop` to `p`; 0 turns dropout off.
    ///
    /// # Errors
    /// [`Error::Field`](crate::Error::Field) when `p` is no probability below 1.
    pub fn with_dropout(mut self, p: f64) -> Result<Self> {
        let config =
            Gpt2Config { resid_pdrop: p, embd_pdrop: p, attn_pdrop: p, ..self.config.clone() };
        config.validate()?;
        self.embd_pdrop = p;
        for block in &mut self.h {
            block.attn.set_dropout(p, p);
            block.mlp.set_dropout(p);
        }
        self.config = config;
        Ok(self)
    }

    /// Logits of the next token after every position.
    ///
    /// # Shapes
    /// - output: `[batch, seq, vocab]`
    ///
    /// # Panics
    /// If an id or position is outside of its table; [`Gpt2Batch::new`] has checked that.
    #[must_use]
    pub fn forward(&self, batch: &Gpt2Batch) -> Tensor<3> {
        self.head(self.hidden(batch))
    }

    /// The last hidden state, after `ln_f`.
    ///
    /// # Shapes
    /// - output: `[batch, seq, embd]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn hidden(&self, batch: &Gpt2Batch) -> Tensor<3> {
        self.run(batch, self.tokens(), None, &mut Kept::default())
    }

    /// As [`forward`](Self::forward), keeping inner results.
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    #[must_use]
    pub fn forward_with(&self, batch: &Gpt2Batch, options: OutputOptions) -> Gpt2Output {
        let mut kept = Kept { options, ..Kept::default() };
        let last = self.run(batch, self.tokens(), None, &mut kept);
        let Kept { hidden_states, attentions, .. } = kept;
        Gpt2Output { logits: self.head(last), hidden_states, attentions }
    }

    /// The last hidden state of tokens that follow what `cache` has read.
    ///
    /// Row `r` of the batch continues row `r` of the cache, which grows by its tokens: by
    /// `batch.lengths[r]`, or by all of them. Positions count on from each row's own length. An
    /// empty cache takes the rows of the batch into use. What comes out for padding means nothing.
    ///
    /// Feed the result to [`head`](Self::head), after picking the positions that matter.
    ///
    /// # Shapes
    /// - output: `[batch, seq, embd]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward), or when the cache is in use by another number of rows or has
    /// no room for the batch, when `lengths` are not of the batch or are all 0, or when there is an
    /// `attention_mask`.
    #[must_use]
    pub fn hidden_cached(&self, batch: &Gpt2Batch, cache: &mut KvCache) -> Tensor<3> {
        let places = Places::behind(cache, batch);
        let layers = Some((&mut cache.layers[..], &places));
        let hidden = ops::on_a_worker(&self.device(), || {
            self.run(batch, self.tokens(), layers, &mut Kept::default())
        });
        cache.lengths.clear();
        cache.lengths.extend(places.ranges().map(|range| range.end));
        hidden
    }

    /// Logits of hidden states.
    ///
    /// # Shapes
    /// - hidden: `[.., embd]`
    /// - output: `[.., vocab]`
    #[must_use]
    pub fn head<const D: usize>(&self, hidden: Tensor<D>) -> Tensor<D> {
        ops::on_a_worker(&self.device(), || self.head_table().scores(hidden))
    }

    /// Whether tokens can be chosen where the logits are: [`ops::choose_highest`], [`ops::choose_sampled`].
    #[must_use]
    pub fn chooses_on_its_device(&self) -> bool {
        ops::takes_choices(&self.ln_f.weight.val())
    }

    /// The table that scores hidden states, `[vocab, embd]`.
    fn head_table(&self) -> &Embedding {
        self.lm_head.as_ref().unwrap_or(&self.wte)
    }

    /// The token embedding of a pass that has no head, or one of its own.
    fn tokens(&self) -> Tokens<'_> {
        match self.wte.compact() {
            Some(table) if !self.device().is_autodiff() => Tokens::Compact(table),
            _ => Tokens::Floats(Box::new(TokenTable::new(self.wte.weight.val()))),
        }
    }

    fn run(
        &self,
        batch: &Gpt2Batch,
        tokens: Tokens<'_>,
        mut cache: Option<(&mut [LayerCache], &Places)>,
        kept: &mut Kept,
    ) -> Tensor<3> {
        let masks = &mut DropoutMasks::new(batch.dropout_seed);
        let places = cache.as_ref().map(|(_, places)| *places);
        let mut x = self.embed(batch, tokens, places, masks); // [batch, seq, embd]
        let bias = match places {
            Some(places) => places.bias(&x, self.config.head_dim()),
            None => self.attention_bias(batch),
        };
        for (layer, block) in self.h.iter().enumerate() {
            if kept.options.hidden_states {
                kept.hidden_states.push(x.clone());
            }
            let cached = cache.as_mut().map(|(layers, places)| (&mut layers[layer], *places));
            let (output, probabilities) =
                block.forward(x, &bias, cached, masks, kept.options.attentions);
            x = output;
            kept.attentions.extend(probabilities);
        }
        let last = self.ln_f.forward(x);
        if kept.options.hidden_states {
            kept.hidden_states.push(last.clone());
        }
        last
    }
}

/// Where a pass looks its tokens up.
#[allow(clippy::large_enum_variant)] // There is one at a time.
enum Tokens<'a> {
    Floats(Box<TokenTable>),
    Compact(&'a CompactWeight),
}

/// Inner results of a pass, as [`Gpt2Output`] has them.
#[derive(Default)]
struct Kept {
    options: OutputOptions,
    hidden_states: Vec<Tensor<3>>,
    attentions: Vec<Tensor<4>>,
}
