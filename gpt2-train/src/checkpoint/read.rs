//! Reading a checkpoint.

use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use gpt2_core::Gpt2;
use gpt2_core::weights::Checkpoint;
use gpt2_core::weights::names::{is_lora, published};

use super::{ADAPTER, ADAPTER_WEIGHTS, BEST, OPTIMIZER, RunIdentity, STATE, checksums};
use crate::optim::AdamW;
use crate::state::RunState;
use crate::{Error, Result};

/// A run as a checkpoint has it.
#[derive(Debug)]
pub(crate) struct Restored {
    pub path: PathBuf,
    pub state: RunState,
    pub model: Gpt2,
    pub best: Option<Gpt2>,
    /// What is different about the machine.
    pub changes: Vec<String>,
}

impl Restored {
    /// Reads a checkpoint of the run of this identity, and gives its moments to `optimizer`.
    ///
    /// `model` is the one that the run would start from: it gives device and dropout.
    ///
    /// # Errors
    /// [`Error::OtherRun`] when it is of another run; [`Error::Io`], [`Error::Data`] and the errors
    /// of [`gpt2_core::weights`] naming the file that is missing or damaged.
    pub fn read(
        path: &Path,
        identity: &RunIdentity,
        model: &Gpt2,
        optimizer: &mut AdamW,
    ) -> Result<Self> {
        let changes = identity.check(path)?;
        checksums::check(path)?;
        let state = read_state(&path.join(STATE))?;
        let file = match model.lora() {
            None => Checkpoint::open(path)?,
            Some(_) => Checkpoint::open_file(path.join(ADAPTER).join(ADAPTER_WEIGHTS))?,
        };
        let restored = model_of(&file, model)?;
        let best = match state.best {
            None => None,
            Some(best) if best.step == state.step => Some(restored.clone()),
            Some(_) => {
                let file = Checkpoint::open_file(path.join(BEST))?;
                Some(model_of(&file, model)?)
            }
        };
        read_moments(&path.join(OPTIMIZER), &restored, optimizer)?;
        Ok(Self { path: path.to_path_buf(), state, model: restored, best, changes })
    }
}

pub(super) fn read_state(path: &Path) -> Result<RunState> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    toml::from_str(&text).map_err(Error::toml(path, &text))
}

/// A model like `like` with the values of a file, which with LoRA holds LoRA's alone.
fn model_of(file: &Checkpoint, like: &Gpt2) -> Result<Gpt2> {
    let like = like.valid();
    if like.lora().is_none() {
        let mut reader = file.audit(like.config())?;
        let model = like.with_values(|name, _| reader.read(name))?;
        reader.finish()?;
        return Ok(model);
    }
    let mut own = like.parameters().into_iter();
    let missing = |name: &str| Error::data(file.path(), None, format!("`{name}` is missing"));
    let mut failure = None;
    let model = like.clone().with_values(|name, shape| {
        let own = own.next();
        if let (false, Some(own)) = (is_lora(name), &own) {
            return own.to_vec();
        }
        let stored = file.tensor(&published(name), shape)?;
        failure = failure.take().or(stored.is_none().then(|| missing(name)));
        Ok(stored.unwrap_or_else(|| vec![0.0; shape.iter().product()]))
    })?;
    failure.map_or(Ok(model), Err)
}

fn read_moments(path: &Path, model: &Gpt2, optimizer: &mut AdamW) -> Result<()> {
    let file = Checkpoint::open_file(path)?;
    let device = model.device();
    let mut count = 0;
    for parameter in model.parameters() {
        let stored = |moment: &str| -> Result<Option<Tensor<1>>> {
            let name = format!("{moment}.{}", parameter.name);
            let values = file.tensor(&name, &parameter.shape)?;
            Ok(values.map(|values| {
                let count = values.len();
                Tensor::from_data(TensorData::new(values, [count]), &device)
            }))
        };
        match (stored("exp_avg")?, stored("exp_avg_sq")?) {
            (Some(mean), Some(square)) => {
                optimizer.restore(&parameter.name, [mean, square]);
                count += 2;
            }
            (None, None) => {}
            _ => {
                let reason = format!("`{}` has one moment, expected both or none", parameter.name);
                return Err(Error::data(path, None, reason));
            }
        }
    }
    let found = file.entries().len();
    if count != found {
        let reason = format!("{found} tensors, of which {} are of no parameter", found - count);
        return Err(Error::data(path, None, reason));
    }
    Ok(())
}
