//! Writing a checkpoint.

use std::path::{Path, PathBuf};

use gpt2_core::Gpt2;
use gpt2_core::folder::{write_file, write_folder};
use gpt2_core::model::NamedParameter;
use gpt2_core::pretrained::ModelToSave;
use gpt2_core::weights::names::is_lora;
use gpt2_core::weights::{StoredDType, TensorToWrite, write_safetensors, write_tensors};

use super::{ADAPTER, BEST, OPTIMIZER, Place, RunIdentity, STATE, checksums};
use crate::optim::AdamW;
use crate::state::RunState;
use crate::{Error, Result};

/// A run at the end of a step.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    pub identity: &'a RunIdentity,
    pub state: &'a RunState,
    pub model: &'a Gpt2,
    pub optimizer: &'a AdamW,
    /// Model of the best evaluation, where there has been one.
    pub best: Option<&'a Gpt2>,
}

impl Place {
    /// Writes the checkpoint of the current step, whole or not at all, and returns its path. One
    /// that is there already is of the same step of the same run, and stays.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk is full or gone; earlier checkpoints are then untouched.
    pub fn save(&self, snapshot: &Snapshot<'_>) -> Result<PathBuf> {
        let path = self.path(snapshot.state.step);
        if path.exists() {
            return Ok(path);
        }
        write_folder(&path, |folder| -> Result<()> {
            self.write_model(folder, snapshot.model)?;
            write_moments(&folder.join(OPTIMIZER), snapshot)?;
            let is_current = |best: usize| best == snapshot.state.step;
            let best = snapshot.state.best.filter(|best| !is_current(best.step));
            if let (Some(_), Some(model)) = (best, snapshot.best) {
                write_trained(&folder.join(BEST), model)?;
            }
            let state = toml::to_string(snapshot.state)
                .map_err(|error| Error::data(&folder.join(STATE), None, error))?;
            write_file(folder.join(STATE), state.as_bytes())?;
            snapshot.identity.write(folder)?;
            checksums::write(folder)
        })?;
        Ok(path)
    }

    /// A model folder or, with LoRA, the adapter that PEFT would write: its base is not copied.
    fn write_model(&self, folder: &Path, model: &Gpt2) -> Result<()> {
        if model.lora().is_some() {
            return Ok(model.save_adapter(folder.join(ADAPTER), None)?);
        }
        let files = ModelToSave {
            model,
            tokenizer: self.tokenizer.as_ref(),
            generation_config: None,
            card: None,
            dtype: StoredDType::F32,
        };
        Ok(files.write_into(folder)?)
    }
}

/// The parameters that training changes: LoRA's, where there is LoRA, else all.
fn write_trained(path: &Path, model: &Gpt2) -> Result<()> {
    let mut parameters = model.parameters();
    parameters.retain(|parameter| model.lora().is_none() || is_lora(&parameter.name));
    let tensors: Vec<_> = parameters.iter().map(TensorToWrite::from).collect();
    Ok(write_safetensors(path, &tensors, StoredDType::F32)?)
}

/// Both moments of every parameter that has any, under the names of PyTorch's optimizer state.
fn write_moments(path: &Path, snapshot: &Snapshot<'_>) -> Result<()> {
    let mut tensors = Vec::new();
    for (parameter, [mean, square]) in snapshot.optimizer.moments(snapshot.model) {
        for (moment, values) in [("exp_avg", mean), ("exp_avg_sq", square)] {
            let name = format!("{moment}.{}", parameter.name);
            tensors.push(NamedParameter { name, values, ..parameter.clone() });
        }
    }
    let tensors: Vec<_> = tensors.iter().map(TensorToWrite::from).collect();
    Ok(write_tensors(path, &tensors, StoredDType::F32)?)
}
