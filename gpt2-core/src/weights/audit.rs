//! The audit of a checkpoint against a configuration, and the reader that passing it earns.

use std::collections::{BTreeSet, HashMap};

use super::checkpoint::{Checkpoint, Entry};
use super::names::{self, ADAPTER_PREFIX, LM_HEAD, PREFIX};
use crate::error::TensorProblem;
use crate::{Error, Gpt2Config, Result};

impl Checkpoint {
    /// Matches the tensors of the files to those of the configured model, one to one.
    ///
    /// Names count with or without `transformer.`. When embeddings are tied, a stored
    /// `lm_head.weight` is ignored, as `transformers` does, but has to have the right shape. The
    /// buffers `h.N.attn.bias` and `h.N.attn.masked_bias` of old checkpoints are ignored.
    ///
    /// # Errors
    /// [`Error::Weights`] with every tensor that is missing, unknown, of another shape or not of a
    /// floating-point type.
    pub fn audit(&self, config: &Gpt2Config) -> Result<WeightReader<'_>> {
        let wanted = names::parameters(config);
        // All names of a file follow one habit; a mixture would leave two claims to one place.
        let prefix =
            if self.entries.iter().any(|e| e.name.starts_with(PREFIX)) { PREFIX } else { "" };
        let mut stored: HashMap<&str, usize> = HashMap::new();
        let mut faults = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if is_old_buffer(&entry.name) {
                continue;
            }
            let known = if entry.name == LM_HEAD {
                Some(LM_HEAD)
            } else {
                entry.name.strip_prefix(prefix).filter(|name| *name != LM_HEAD)
            };
            if known.is_none_or(|name| stored.insert(name, number).is_some()) {
                faults.push(TensorProblem::Unknown { name: entry.name.clone() });
            }
        }
        let places = self.match_wanted(&wanted, prefix, &mut stored, &mut faults);
        if config.tie_word_embeddings
            && let Some(number) = stored.remove(LM_HEAD)
        {
            let shape = [config.vocab_size, config.n_embd];
            faults.extend(wrong_shape(&self.entries[number], &shape));
        }
        self.reader(places, stored, faults)
    }

    /// Matches the tensors of a PEFT adapter to names and shapes, one to one.
    ///
    /// Adapters of a model with head have names with `transformer.`, those of one without have not.
    ///
    /// # Errors
    /// As [`audit`](Self::audit).
    pub(crate) fn audit_adapter(
        &self,
        wanted: &[(String, Vec<usize>)],
    ) -> Result<WeightReader<'_>> {
        let with_head = format!("{ADAPTER_PREFIX}{PREFIX}");
        let prefix = match self.entries.iter().any(|e| e.name.starts_with(&with_head)) {
            true => with_head.as_str(),
            false => ADAPTER_PREFIX,
        };
        let (mut stored, mut faults) = (HashMap::new(), Vec::new());
        for (number, entry) in self.entries.iter().enumerate() {
            let known = entry.name.strip_prefix(prefix);
            if known.is_none_or(|name| stored.insert(name, number).is_some()) {
                faults.push(TensorProblem::Unknown { name: entry.name.clone() });
            }
        }
        let places = self.match_wanted(wanted, prefix, &mut stored, &mut faults);
        self.reader(places, stored, faults)
    }

    /// The reader that a clean audit earns; what is left in `stored` is one more fault each.
    fn reader(
        &self,
        places: HashMap<String, usize>,
        stored: HashMap<&str, usize>,
        mut faults: Vec<TensorProblem>,
    ) -> Result<WeightReader<'_>> {
        let rest: BTreeSet<usize> = stored.into_values().collect();
        faults.extend(
            rest.into_iter()
                .map(|number| TensorProblem::Unknown { name: self.entries[number].name.clone() }),
        );
        self.refuse(faults)?;
        Ok(WeightReader { checkpoint: self, places, faults: Vec::new() })
    }

    /// Takes the wanted tensors out of `stored` and notes what is wrong with them.
    fn match_wanted(
        &self,
        wanted: &[(String, Vec<usize>)],
        prefix: &str,
        stored: &mut HashMap<&str, usize>,
        faults: &mut Vec<TensorProblem>,
    ) -> HashMap<String, usize> {
        let mut places = HashMap::with_capacity(wanted.len());
        for (name, shape) in wanted {
            let Some(number) = stored.remove(name.as_str()) else {
                let prefix = if name == LM_HEAD { "" } else { prefix };
                faults.push(TensorProblem::Missing { name: format!("{prefix}{name}") });
                continue;
            };
            let entry = &self.entries[number];
            faults.extend(wrong_shape(entry, shape));
            if !entry.element.is_float() {
                let found = entry.element.name().to_string();
                faults.push(TensorProblem::DType { name: entry.name.clone(), found });
            }
            places.insert(name.clone(), number);
        }
        places
    }

    fn refuse(&self, mut problems: Vec<TensorProblem>) -> Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by(|a, b| tensor_of(a).cmp(tensor_of(b)));
        Err(Error::Weights { path: self.path().to_path_buf(), problems })
    }
}

fn wrong_shape(entry: &Entry, expected: &[usize]) -> Option<TensorProblem> {
    (entry.shape != expected).then(|| TensorProblem::Shape {
        name: entry.name.clone(),
        found: entry.shape.clone(),
        expected: expected.to_vec(),
    })
}

fn tensor_of(problem: &TensorProblem) -> &str {
    match problem {
        TensorProblem::Missing { name }
        | TensorProblem::Unknown { name }
        | TensorProblem::Shape { name, .. }
        | TensorProblem::DType { name, .. }
        | TensorProblem::NonFinite { name, .. } => name,
    }
}

/// Whether this is the causal mask or its filling, which old releases saved beside the weights.
///
/// `h.0.attn.bias` is such a mask; `h.0.attn.c_attn.bias` is a parameter.
pub(super) fn is_old_buffer(name: &str) -> bool {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let Some((layer, rest)) = name.strip_prefix("h.").and_then(|name| name.split_once('.')) else {
        return false;
    };
    let is_number = !layer.is_empty() && layer.bytes().all(|byte| byte.is_ascii_digit());
    is_number && matches!(rest, "attn.bias" | "attn.masked_bias")
}

/// Reads the tensors of an audited checkpoint, one at a time.
///
/// A tensor's memory is what [`read`](Self::read) hands out, plus a second copy of it while it is
/// being read from a `.bin` or `.h5` file. Reading the largest tensor first, as
/// [`names::parameters`] does, therefore keeps the peak near the size of the model.
#[derive(Debug)]
pub struct WeightReader<'a> {
    checkpoint: &'a Checkpoint,
    /// Number of the entry for every canonical name.
    places: HashMap<String, usize>,
    faults: Vec<TensorProblem>,
}

impl WeightReader<'_> {
    /// Reads one parameter by its canonical name (without `transformer.`) as `f32`, row-major, in
    /// the shape that [`names::parameters`] gives.
    ///
    /// NaN and infinity are noted for [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] when the file disagrees with its own header;
    /// [`Error::Argument`] for a name that the configured model does not have.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let &number = self
            .places
            .get(name)
            .ok_or_else(|| Error::argument("name", format!("`{name}`"), "a parameter's name"))?;
        let values = self.checkpoint.read_entry(number)?;
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            let name = self.checkpoint.entries[number].name.clone();
            self.faults.push(TensorProblem::NonFinite { name, count });
        }
        Ok(values)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::Weights`] with every tensor read that holds NaN or infinity.
    pub fn finish(mut self) -> Result<()> {
        let mut faults = std::mem::take(&mut self.faults);
        faults.dedup();
        self.checkpoint.refuse(faults)
    }
}
