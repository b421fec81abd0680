//! [`Pipeline`]: a model folder ready for use, text in and text out.

mod text;

pub use text::{GeneratedText, NextWord};

use std::path::Path;

use burn::tensor::Device;
use gpt2_core::pretrained::LoadOptions;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_core::{Gpt2, ModelFolder};

use crate::{
    ContinuationScore, FeatureOptions, Features, GenerationConfig, Generator, Result, Sequence,
    TextLoss, TextStream, Window, features, loss, next_tokens, score_continuations, sliding_loss,
};

/// Model, tokenizer and generation defaults of a published model: what Hugging Face's pipelines
/// hold, for all that a GPT-2 is used for.
///
/// Texts are encoded as they are: no special token is added, those that a text spells out are
/// recognised, and nothing is cut off. What is too long is an error.
///
/// # Example
/// ```no_run
/// # fn main() -> gpt2_infer::Result<()> {
/// use gpt2_core::device;
/// use gpt2_infer::{FeatureOptions, GenerationConfig, Pipeline};
///
/// let pipeline = Pipeline::from_pretrained("gpt2-small-portuguese", &device::best()?)?;
///
/// let config = GenerationConfig {
///     do_sample: true,
///     top_k: 40,
///     ..pipeline.generation_config().clone().with_max_length(50)
/// };
/// for generated in pipeline.generate("Quem era Jim Henson? Jim Henson era um", &config)? {
///     println!("{} ... {}", generated.text, generated.continuation());
/// }
///
/// let word = pipeline.next_word("Quem era Jim Henson? Jim Henson era um")?;
/// println!("{:?} with probability {:.2}", word.text, word.probability);
///
/// println!("perplexity {:.2}", pipeline.loss("Quem era Jim Henson?")?.perplexity());
///
/// let scores = pipeline.score("Jim Henson era um", &[" homem", " planeta"])?;
/// println!("{:.2} nats", scores[0].log_probability());
///
/// let states = pipeline.features("Quem era Jim Henson?", &FeatureOptions::default())?;
/// println!("{} tokens, width {}", states.rows.len(), states.rows[0].len());
/// # Ok(())
/// # }
/// ```
///
/// A clone shares model and tokenizer, and costs little. What else generation can do, such as to be
/// cancelled, the [`Generator`] of a pipeline is told: see [`with_generator`](Self::with_generator).
#[derive(Debug, Clone)]
pub struct Pipeline {
    generator: Generator,
    tokenizer: Tokenizer,
    generation_config: GenerationConfig,
    skip_special_tokens: bool,
}

impl Pipeline {
    /// Opens a model folder and loads it onto a device.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) for a folder that is no model folder, or whose
    /// configuration, weights or tokenizer are missing or malformed; what
    /// [`GenerationConfig::from_pretrained`] says of its generation defaults, which
    /// [`new`](Self::new) does without.
    pub fn from_pretrained(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::from_folder(&ModelFolder::open(folder)?, device)
    }

    /// As [`from_pretrained`](Self::from_pretrained), of a folder that is open.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    pub fn from_folder(folder: &ModelFolder, device: &Device) -> Result<Self> {
        Self::from_folder_with(folder, device, LoadOptions::default())
    }

    /// As [`from_folder`](Self::from_folder), with options such as to quantize the weights.
    ///
    /// # Errors
    /// As [`from_pretrained`](Self::from_pretrained).
    ///
    /// # Example
    /// ```no_run
    /// use gpt2_core::pretrained::LoadOptions;
    /// use gpt2_core::{ModelFolder, Quantization, device};
    /// use gpt2_infer::Pipeline;
    ///
    /// let folder = ModelFolder::open("gpt2-small-portuguese")?;
    /// let options = LoadOptions { quantize: Some(Quantization::Int8), ..LoadOptions::default() };
    /// let pipeline = Pipeline::from_folder_with(&folder, &device::best()?, options)?;
    /// # let _ = pipeline;
    /// # Ok::<(), gpt2_infer::Error>(())
    /// ```
    pub fn from_folder_with(
        folder: &ModelFolder,
        device: &Device,
        options: LoadOptions,
    ) -> Result<Self> {
        // The weights come last: whatever else is wrong is found without waiting for them.
        let generation_config = GenerationConfig::from_pretrained(folder.path(), folder.config())?;
        let tokenizer = folder.tokenizer()?;
        Self::new(folder.model_with(device, options)?, tokenizer, generation_config)
    }

    /// A pipeline of parts that are at hand, such as a model that was just trained.
    ///
    /// Also the way to a pipeline where the generation defaults of a folder are refused but not
    /// needed, for [`loss`](Self::loss) or [`features`](Self::features): with
    /// `GenerationConfig::default()` they are not read.
    ///
    /// # Errors
    /// [`Error::Core`](crate::Error::Core) when the tokenizer has ids that the model does not,
    /// [`Error::Option`](crate::Error::Option) when the options do not fit the model.
    pub fn new(
        model: Gpt2,
        tokenizer: Tokenizer,
        generation_config: GenerationConfig,
    ) -> Result<Self> {
        tokenizer.check_fits(model.config().vocab_size)?;
        generation_config.validate(model.config())?;
        let generator = Generator::new(&model).with_tokenizer(&tokenizer);
        Ok(Self { generator, tokenizer, generation_config, skip_special_tokens: true })
    }

    /// Generates with this generator from now on: its draft model, processors, constraint, switch to
    /// cancel and limit of memory. It is made from the [`generator`](Self::generator) that the
    /// pipeline has, and keeps the pipeline's tokenizer.
    ///
    /// # Errors
    /// As [`new`](Self::new), should the generator have another model.
    ///
    /// # Example
    /// ```no_run
    /// # fn main() -> gpt2_infer::Result<()> {
    /// use gpt2_core::{ModelFolder, device};
    /// use gpt2_infer::{Cancellation, Pipeline};
    ///
    /// let device = device::best()?;
    /// let pipeline = Pipeline::from_pretrained("gpt2-large", &device)?;
    /// let draft = ModelFolder::open("gpt2")?.model(&device)?;
    /// let switch = Cancellation::new();
    ///
    /// let generator =
    ///     pipeline.generator().clone().with_draft_model(&draft)?.with_cancellation(&switch);
    /// let pipeline = pipeline.with_generator(generator)?;
    /// # let _ = pipeline;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_generator(self, generator: Generator) -> Result<Self> {
        let pipeline = Self::new(generator.model.clone(), self.tokenizer, self.generation_config)?;
        let generator = generator.with_tokenizer(&pipeline.tokenizer);
        Ok(Self { generator, skip_special_tokens: self.skip_special_tokens, ..pipeline })
    }

    /// Whether generated text leaves out special tokens such as `<|endoftext|>`; true unless this
    /// says otherwise, as in Hugging Face's pipeline. A prompt keeps those that it spells out.
    #[must_use]
    pub fn skip_special_tokens(mut self, skip: bool) -> Self {
        self.skip_special_tokens = skip;
        self
    }

    /// The generator, which continues prompts of token ids.
    #[must_use]
    pub fn generator(&self) -> &Generator {
        &self.generator
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Gpt2 {
        &self.generator.model
    }

    /// The tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The generation defaults of the model folder, to be used as they are or in part.
    ///
    /// They are those of `generate` in `transformers`. Its text-generation pipeline has three of
    /// its own where the folder has none: `do_sample`, `temperature=0.7`, `max_new_tokens=256`.
    #[must_use]
    pub fn generation_config(&self) -> &GenerationConfig {
        &self.generation_config
    }

    /// Continues a prompt, as `num_return_sequences` texts.
    ///
    /// An empty prompt becomes the begin-of-text token, which is then part of what was added, so that
    /// it is seen where special tokens are not left out.
    ///
    /// # Errors
    /// What [`Generator::generate`] says of options and prompts; [`Error::Core`](crate::Error::Core) for a
    /// character that the tokenizer has no token for.
    pub fn generate(&self, prompt: &str, config: &GenerationConfig) -> Result<Vec<GeneratedText>> {
        Ok(self.generate_batch(&[prompt], config)?.into_iter().flatten().collect())
    }

    /// As [`generate`](Self::generate), for several prompts at once, in their order. Each gives
    /// what it gives alone.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn generate_batch<S: AsRef<str>>(
        &self,
        prompts: &[S],
        config: &GenerationConfig,
    ) -> Result<Vec<Vec<GeneratedText>>> {
        let found = self.generator.generate(&self.encode(prompts)?, config)?;
        let texts = |(prompt, sequences): (&S, Vec<Sequence>)| {
            sequences.into_iter().map(|sequence| self.decode(prompt.as_ref(), sequence)).collect()
        };
        prompts.iter().zip(found).map(texts).collect()
    }

    /// Continues a prompt as text that appears piece by piece; neither the prompt nor a stop string
    /// is part of it.
    ///
    /// # Errors
    /// What [`Generator::stream`] says of options and prompts; [`Error::Core`](crate::Error::Core)
    /// for a character that the tokenizer has no token for.
    pub fn stream(&self, prompt: &str, config: &GenerationConfig) -> Result<TextStream> {
        let prompt = self.tokenizer.encode_ids(prompt)?;
        self.generator.stream(&prompt, config, self.skip_special_tokens)
    }

    /// The likeliest next token of a prompt, which the model cards call generating one word.
    ///
    /// # Errors
    /// As [`next_words`](Self::next_words).
    pub fn next_word(&self, prompt: &str) -> Result<NextWord> {
        let mut words = self.next_words(prompt, 1)?;
        // Of a vocabulary, one token is the likeliest.
        Ok(words.swap_remove(0))
    }

    /// The `top` most likely next tokens of a prompt, the likeliest first.
    ///
    /// # Errors
    /// What [`next_tokens`] says of prompts; [`Error::Core`](crate::Error::Core) for a character
    /// that the tokenizer has no token for.
    pub fn next_words(&self, prompt: &str, top: usize) -> Result<Vec<NextWord>> {
        let ids = self.tokenizer.encode_ids(prompt)?;
        let candidates = next_tokens(self.model(), &ids, top, None)?.into_iter();
        candidates
            .map(|candidate| {
                let text = self.tokenizer.decode(&[candidate.id], false)?;
                Ok(NextWord { id: candidate.id, text, probability: candidate.probability })
            })
            .collect()
    }

    /// The loss of a text: mean negative log-likelihood of a token, in nats.
    ///
    /// # Errors
    /// What [`loss`] says of texts: fewer than two tokens, or more than the context holds.
    pub fn loss(&self, text: &str) -> Result<TextLoss> {
        loss(self.model(), &self.tokenizer.encode_ids(text)?)
    }

    /// The loss of a text of any length, under a window that slides over it.
    ///
    /// # Errors
    /// What [`sliding_loss`] says of texts and windows.
    pub fn sliding_loss(&self, text: &str, window: Window) -> Result<TextLoss> {
        sliding_loss(self.model(), &self.tokenizer.encode_ids(text)?, window)
    }

    /// How likely each continuation of a prompt is, in their order.
    ///
    /// Prompt and continuations are encoded each by itself, so a continuation that begins a word
    /// begins with the space before it, and the prompt does not end with one.
    ///
    /// # Errors
    /// What [`score_continuations`] says of prompts and continuations.
    pub fn score<S: AsRef<str>>(
        &self,
        prompt: &str,
        continuations: &[S],
    ) -> Result<Vec<ContinuationScore>> {
        let prompt = self.tokenizer.encode_ids(prompt)?;
        score_continuations(self.model(), &prompt, &self.encode(continuations)?)
    }

    /// The hidden states of a text.
    ///
    /// # Errors
    /// What [`features`] says of layers and prompts.
    pub fn features(&self, text: &str, options: &FeatureOptions) -> Result<Features> {
        let mut found = self.features_batch(&[text], options)?;
        // One text, one result.
        Ok(found.swap_remove(0))
    }

    /// As [`features`](Self::features), for several texts at once, in their order.
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn features_batch<S: AsRef<str>>(
        &self,
        texts: &[S],
        options: &FeatureOptions,
    ) -> Result<Vec<Features>> {
        features(self.model(), &self.encode(texts)?, options)
    }

    fn encode<S: AsRef<str>>(&self, texts: &[S]) -> Result<Vec<Vec<u32>>> {
        texts.iter().map(|text| Ok(self.tokenizer.encode_ids(text.as_ref())?)).collect()
    }

    /// The prompt as it was given, and the text of what was added to it.
    fn decode(&self, prompt: &str, sequence: Sequence) -> Result<GeneratedText> {
        // The token in place of an empty prompt is no part of what was given.
        let given =
            if prompt.is_empty() { 0 } else { sequence.ids.len() - sequence.continuation().len() };
        let (given, added) = sequence.ids.split_at(given);
        let added = self.tokenizer.decode_continuation(given, added, self.skip_special_tokens)?;
        let text = format!("{prompt}{added}");
        Ok(GeneratedText { text, sequence, prompt_bytes: prompt.len() })
    }
}
