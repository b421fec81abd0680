//! A published model: a folder with configuration, weights, tokenizer, generation defaults, card.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use serde_json::{Map, Value, json};

use crate::config::read_object;
use crate::folder::{write_file, write_folder, write_json};
use crate::model::NamedParameter;
use crate::quantize::CompactFormat;
use crate::tokenizer::Tokenizer;
use crate::weights::{
    Checkpoint, DownloadProgress, Loaded, StoredDType, TensorToWrite, TensorValues, names,
    tensors_to_write, write_weights,
};
use crate::{Error, Gpt2, Gpt2Config, Quantization, Result};

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const CARD: &str = "README.md";

/// Weights beyond this many bytes are split over several files, as `transformers` does.
const MAX_SHARD_SIZE: u64 = 5_000_000_000;

/// How [`ModelFolder::model_with`] loads a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Quantize the weights; `None` leaves them as the folder has them.
    pub quantize: Option<Quantization>,
    /// The type that the weights of products are kept in, where they are not quantized.
    pub dtype: WeightDType,
    /// The number of embeddings, where it is to be another than the folder's: see
    /// [`Gpt2::resize_token_embeddings`].
    pub vocab_size: Option<usize>,
}

/// The type that weights are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WeightDType {
    /// What computation is in.
    #[default]
    F32,
    /// Half of the bytes: see [`Gpt2::bf16_weights`].
    BF16,
}

/// A model folder whose configuration has been read; everything else is read when asked for.
///
/// # Example
/// ```no_run
/// use gpt2_core::{ModelFolder, device};
///
/// let folder = ModelFolder::open("gpt2-small-indonesian")?;
/// let model = folder.model(&device::best()?)?;
/// let ids = folder.tokenizer()?.encode_ids("Nama saya Budi")?;
/// println!("{} parameters, {} ids", folder.config().parameter_count(), ids.len());
/// # Ok::<(), gpt2_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
    config: Gpt2Config,
}

impl ModelFolder {
    /// Opens a folder and reads its `config.json`.
    ///
    /// # Errors
    /// [`Error::MissingFile`] when there is no such folder or no `config.json` in it; what
    /// [`Gpt2Config::from_file`] says of its content.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let file = path.join(CONFIG);
        if !file.is_file() {
            return Err(Error::MissingFile { folder: path, expected: CONFIG.to_string() });
        }
        let config = Gpt2Config::from_file(file)?;
        Ok(Self { path, config })
    }

    /// The folder of what a person calls a model: the folder itself or, with feature `hub`, a hub id,
    /// which is downloaded unless the hub's cache has it. `on_progress` hears of a download only.
    ///
    /// # Errors
    /// [`Error::NoFolder`] for a file, and for what is neither a folder nor a hub id; of those that are
    /// written like one, [`Error::Hub`] where it cannot be had.
    ///
    /// # Example
    /// ```no_run
    /// use gpt2_core::ModelFolder;
    ///
    /// let path = ModelFolder::locate("pierreguillou/gpt2-small-portuguese", &mut |_| {})?;
    /// let folder = ModelFolder::open(path)?;
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn locate(
        model: impl AsRef<Path>,
        on_progress: &mut dyn FnMut(DownloadProgress<'_>),
    ) -> Result<PathBuf> {
        let path = model.as_ref().to_path_buf();
        if path.is_dir() {
            return Ok(path);
        }
        if path.exists() {
            return Err(Error::NoFolder { path, reason: "a file, expected a model folder" });
        }
        download(path, on_progress)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its `config.json`.
    #[must_use]
    pub fn config(&self) -> &Gpt2Config {
        &self.config
    }

    /// The table of contents of its weights.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] says.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Checkpoint::open(&self.path)
    }

    /// Loads the model onto a device.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] and [`Checkpoint::audit`] say; [`Error::Weights`] for values that
    /// are not finite.
    pub fn model(&self, device: &Device) -> Result<Gpt2> {
        self.model_with(device, LoadOptions::default())
    }

    /// As [`model`](Self::model), with options. A weight that is to be quantized is so as soon as it is read, so that
    /// memory never holds the floats of more than one.
    ///
    /// # Errors
    /// As [`model`](Self::model).
    ///
    /// # Example
    /// ```no_run
    /// use gpt2_core::pretrained::LoadOptions;
    /// use gpt2_core::{ModelFolder, Quantization, device};
    ///
    /// let options = LoadOptions { quantize: Some(Quantization::Int8), ..LoadOptions::default() };
    /// let model = ModelFolder::open("gpt2")?.model_with(&device::best()?, options)?;
    /// # let _ = model;
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn model_with(&self, device: &Device, options: LoadOptions) -> Result<Gpt2> {
        if let Some(vocab_size) = options.vocab_size {
            return self.resized(device, vocab_size, options);
        }
        let checkpoint = self.checkpoint()?;
        let mut reader = checkpoint.audit(&self.config)?;
        let stored = self.config.quantization_config;
        let quantization = options.quantize.or(stored);
        let config = Gpt2Config { quantization_config: quantization, ..self.config.clone() };
        let model = Gpt2::load(&config, device, &mut |name, shape| {
            let loaded = match quantization == stored {
                true => reader.load(name)?,
                false => Loaded::Float(reader.read(name)?),
            };
            let format = match (quantization, options.dtype) {
                (Some(quantization), _) => quantization.format_of(name).map(CompactFormat::Int),
                (None, WeightDType::BF16) => Some(CompactFormat::Bf16),
                (None, WeightDType::F32) => None,
            };
            match (format, names::depth_axis(name), shape) {
                (Some(format), Some(axis), &[first, last]) => {
                    loaded.compact(|values| format.apply(values, [first, last], axis))
                }
                _ => Ok(loaded),
            }
        })?;
        reader.finish()?;
        Ok(model)
    }

    /// Rows are made and dropped as floats, so the rest comes afterwards.
    fn resized(&self, device: &Device, vocab_size: usize, options: LoadOptions) -> Result<Gpt2> {
        let model = self.model(device)?.resize_token_embeddings(vocab_size)?;
        match (options.quantize.or(self.config.quantization_config), options.dtype) {
            (Some(quantization), _) => model.quantize(quantization),
            (None, WeightDType::BF16) => model.bf16_weights(),
            (None, WeightDType::F32) => Ok(model),
        }
    }

    /// Loads the tokenizer and checks that the model knows all of its ids.
    ///
    /// # Errors
    /// [`Error::MissingFile`] when the folder has none; what [`Tokenizer::from_folder`] says.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let tokenizer = Tokenizer::from_folder(&self.path)?;
        tokenizer.check_fits(self.config.vocab_size).map_err(|error| error.in_file(&self.path))?;
        Ok(tokenizer)
    }

    /// As [`tokenizer`](Self::tokenizer), but `None` where the folder has none.
    ///
    /// # Errors
    /// As [`tokenizer`](Self::tokenizer).
    pub fn tokenizer_if_any(&self) -> Result<Option<Tokenizer>> {
        match self.tokenizer() {
            Ok(tokenizer) => Ok(Some(tokenizer)),
            Err(Error::MissingFile { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object in `generation_config.json`, if there is one.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Json`].
    pub fn generation_config(&self) -> Result<Option<Map<String, Value>>> {
        let path = self.path.join(GENERATION_CONFIG);
        if path.is_file() { read_object(&path).map(Some) } else { Ok(None) }
    }
}

/// The folder of a hub id.
#[cfg(feature = "hub")]
fn download(id: PathBuf, on_progress: &mut dyn FnMut(DownloadProgress<'_>)) -> Result<PathBuf> {
    let found = crate::weights::hub::download(&id.to_string_lossy(), None, on_progress);
    found.map_err(|error| match error {
        // More likely a folder's name with a mistake in it.
        Error::Argument { argument: "repo_id", .. } => {
            let reason = "there is no such folder, and a hub id is `owner/name` or `name`";
            Error::NoFolder { path: id, reason }
        }
        other => other,
    })
}

/// There is no folder of a hub id in this build.
#[cfg(not(feature = "hub"))]
fn download(path: PathBuf, _on_progress: &mut dyn FnMut(DownloadProgress<'_>)) -> Result<PathBuf> {
    let reason = "there is no such folder; this build has no feature `hub` for hub ids";
    Err(Error::NoFolder { path, reason })
}

/// What goes into a folder that is to be published.
#[derive(Debug, Clone, Copy)]
pub struct ModelToSave<'a> {
    /// The weights and their configuration. LoRA is stored merged: see [`Gpt2::merge_lora`].
    pub model: &'a Gpt2,
    /// The tokenizer, where there is one.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Content of `generation_config.json`; `None` writes the token ids of the configuration.
    pub generation_config: Option<&'a Map<String, Value>>,
    /// The model card, `README.md`.
    pub card: Option<&'a str>,
    /// Element type of the stored weights.
    pub dtype: StoredDType,
}

impl ModelToSave<'_> {
    /// Writes a folder that `transformers` loads unchanged; it appears whole or not at all.
    ///
    /// # Errors
    /// What [`write_folder`] says of the destination, [`Error::Io`], and [`Error::Argument`] for a
    /// value that does not fit the element type.
    pub fn save(&self, destination: impl AsRef<Path>) -> Result<()> {
        write_folder(destination.as_ref(), |folder| self.write_into(folder))
    }

    /// Writes the files into a folder that the caller will put in place.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub fn write_into(&self, folder: &Path) -> Result<()> {
        let config = self.config_json();
        write_json(&folder.join(CONFIG), &config)?;
        let model = self.model.clone().merge_lora();
        let (floats, quantized) = (model.float_parameters(), model.quantized_weights());
        let quantized = quantized.iter().flat_map(|(name, matrix)| tensors_to_write(name, matrix));
        let tensors: Vec<TensorToWrite<'_>> =
            floats.iter().map(TensorToWrite::from).chain(quantized).collect();
        write_weights(folder, &tensors, self.dtype, Some(MAX_SHARD_SIZE))?;
        if let Some(tokenizer) = self.tokenizer {
            tokenizer.save(folder)?;
        }
        let generation = self.generation_config.cloned().map(Value::Object);
        write_json(
            &folder.join(GENERATION_CONFIG),
            &generation.unwrap_or_else(|| self.default_generation_config()),
        )?;
        match self.card {
            Some(card) => write_file(folder.join(CARD), card.as_bytes()),
            None => Ok(()),
        }
    }

    /// The configuration, with class and element type of the weights that are stored.
    fn config_json(&self) -> Value {
        let mut config = self.model.config().to_json();
        let dtype = match self.dtype {
            StoredDType::F32 => "float32",
            StoredDType::F16 => "float16",
            StoredDType::BF16 => "bfloat16",
        };
        // The names that are written are those of the model with a head, whatever was read.
        config["architectures"] = json!(["GPT2LMHeadModel"]);
        config["dtype"] = json!(dtype);
        if config.get("torch_dtype").is_some() {
            config["torch_dtype"] = json!(dtype);
        }
        config
    }

    fn default_generation_config(&self) -> Value {
        let config = self.model.config().to_json();
        let mut object = json!({ "_from_model_config": true });
        for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
            if !config[key].is_null() {
                object[key] = config[key].clone();
            }
        }
        object
    }
}

impl<'a> From<&'a NamedParameter> for TensorToWrite<'a> {
    /// The parameter, fetched from its device when its turn comes.
    fn from(parameter: &'a NamedParameter) -> Self {
        Self {
            name: parameter.name.clone(),
            shape: parameter.shape.clone(),
            values: TensorValues::Float(Box::new(|| parameter.to_vec())),
        }
    }
}
