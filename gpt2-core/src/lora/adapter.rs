//! Folders with PEFT's adapters: `adapter_config.json` and the low-rank weights.

use std::path::{Path, PathBuf};

use super::{LoraConfig, fields};
use crate::folder::{write_folder, write_json};
use crate::weights::{Checkpoint, StoredDType, TensorToWrite, names, write_safetensors};
use crate::{Error, Gpt2, Result};

/// File of the configuration.
const CONFIG: &str = "adapter_config.json";

/// Files of the weights, in the order of preference.
const WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];

impl Gpt2 {
    /// The model with the low-rank weights of a folder that PEFT, or
    /// [`save_adapter`](Self::save_adapter), has written.
    ///
    /// [`merge_lora`](Self::merge_lora) makes an ordinary model of it.
    ///
    /// # Errors
    /// [`Error::MissingFile`]; what [`LoraConfig::from_file`] says; [`Error::Field`] for a target that
    /// the model has not; what [`Checkpoint::open_file`] says; [`Error::Weights`] with every tensor
    /// that is missing, unknown, of another shape or type, or not finite; [`Error::Argument`] when
    /// the model has LoRA already.
    ///
    /// # Example
    /// ```no_run
    /// use gpt2_core::{ModelFolder, device};
    ///
    /// let base = ModelFolder::open("gpt2")?.model(&device::best()?)?;
    /// let model = base.load_adapter("gpt2-stories-lora")?.merge_lora();
    /// # Ok::<(), gpt2_core::Error>(())
    /// ```
    pub fn load_adapter(self, folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let path = find(folder, &[CONFIG])?;
        let config = LoraConfig::from_file(&path)?;
        let wanted = config.parameters(self.config()).map_err(|error| error.in_file(&path))?;
        let wanted: Vec<_> =
            wanted.into_iter().map(|(name, shape)| (name, shape.to_vec())).collect();
        let checkpoint = Checkpoint::open_file(find(folder, &WEIGHTS)?)?;
        let mut reader = checkpoint.audit_adapter(&wanted)?;
        let model = self.attach_lora(&config, &mut |name, _| reader.read(name))?;
        reader.finish()?;
        Ok(model)
    }

    /// Writes the low-rank weights as a folder that PEFT loads; it appears whole or not at all.
    ///
    /// `base_model` is what the folder says of the model that it belongs to: its hub id or name.
    ///
    /// # Errors
    /// [`Error::Argument`] for a model without LoRA; what [`write_folder`] says of the destination;
    /// [`Error::Io`].
    pub fn save_adapter(
        &self,
        destination: impl AsRef<Path>,
        base_model: Option<&str>,
    ) -> Result<()> {
        let Some(config) = self.lora() else {
            return Err(Error::argument("model", "one without LoRA", "one with LoRA"));
        };
        let parameters = self.parameters();
        let lora = parameters.iter().filter(|parameter| names::is_lora(&parameter.name));
        let tensors: Vec<TensorToWrite<'_>> = lora.map(TensorToWrite::from).collect();
        write_folder(destination.as_ref(), |folder| {
            write_json(&folder.join(CONFIG), &fields::to_json(config, base_model))?;
            write_safetensors(folder.join(WEIGHTS[0]), &tensors, StoredDType::F32)
        })
    }
}

/// The first of some files that is in a folder.
fn find(folder: &Path, files: &[&str]) -> Result<PathBuf> {
    let paths = files.iter().map(|file| folder.join(file));
    // A link that leads nowhere is reported as such rather than passed over.
    paths.into_iter().find(|path| path.symlink_metadata().is_ok()).ok_or_else(|| {
        Error::MissingFile { folder: folder.to_path_buf(), expected: files.join(", ") }
    })
}
