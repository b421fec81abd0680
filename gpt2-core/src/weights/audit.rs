//! The audit of a checkpoint against a configuration, and the reader that passing it earns.

use std::collections::{BTreeSet, HashMap};

use super::checkpoint::{Checkpoint, Entry};
use super::names::{ADAPTER_PREFIX, LM_HEAD, PREFIX};
use super::quantized::{StoredTensor, StoredWeight, stored_parameters, stored_weights};
use crate::error::TensorProblem;
use crate::quantize::CompactMatrix;
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
        let wanted = stored_parameters(config);
        // All names of a file follow one habit; a mixture would leave two claims to one place.
        let prefix =
            if self.entries.iter().any(|e| e.name.starts_with(PREFIX)) { PREFIX } else { "" };
        let mut stored: HashMap<&str, usize> = HashMap::new();
        let mut faults = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if is_old_buffer(&entry.name) {
                continue;
            }
            // Of a quantized head there is more than one tensor, all with this beginning.
            let known = if entry.name.starts_with(LM_HEAD) {
                Some(entry.name.as_str())
            } else {
                entry.name.strip_prefix(prefix).filter(|name| !name.starts_with(LM_HEAD))
            };
            if known.is_none_or(|name| stored.insert(name, number).is_some()) {
                faults.push(TensorProblem::Unknown { name: entry.name.clone() });
            }
        }
        let places = self.match_wanted(&wanted, prefix, &mut stored, &mut faults);
        if config.tie_word_embeddings
            && config.quantization_config.is_none()
            && let Some(number) = stored.remove(LM_HEAD)
        {
            let shape = [config.vocab_size, config.n_embd];
            faults.extend(wrong_shape(&self.entries[number], &shape));
        }
        self.reader(places, stored, faults, stored_weights(config))
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
        let float = |(name, shape): &(String, Vec<usize>)| StoredTensor {
            name: name.clone(),
            shape: shape.clone(),
            element: None,
        };
        let wanted: Vec<StoredTensor> = wanted.iter().map(float).collect();
        let places = self.match_wanted(&wanted, prefix, &mut stored, &mut faults);
        self.reader(places, stored, faults, HashMap::new())
    }

    /// The reader that a clean audit earns; what is left in `stored` is one more fault each.
    fn reader(
        &self,
        places: HashMap<String, usize>,
        stored: HashMap<&str, usize>,
        mut faults: Vec<TensorProblem>,
        quantized: HashMap<String, StoredWeight>,
    ) -> Result<WeightReader<'_>> {
        let rest: BTreeSet<usize> = stored.into_values().collect();
        faults.extend(
            rest.into_iter()
                .map(|number| TensorProblem::Unknown { name: self.entries[number].name.clone() }),
        );
        self.refuse(faults)?;
        Ok(WeightReader { checkpoint: self, places, quantized, faults: Vec::new() })
    }

    /// Takes the wanted tensors out of `stored` and notes what is wrong with them.
    fn match_wanted(
        &self,
        wanted: &[StoredTensor],
        prefix: &str,
        stored: &mut HashMap<&str, usize>,
        faults: &mut Vec<TensorProblem>,
    ) -> HashMap<String, usize> {
        let mut places = HashMap::with_capacity(wanted.len());
        for StoredTensor { name, shape, element } in wanted {
            let Some(number) = stored.remove(name.as_str()) else {
                let prefix = if name.starts_with(LM_HEAD) { "" } else { prefix };
                faults.push(TensorProblem::Missing { name: format!("{prefix}{name}") });
                continue;
            };
            let entry = &self.entries[number];
            faults.extend(wrong_shape(entry, shape));
            faults.extend(wrong_element(entry, *element));
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

/// `expected` is the only type that will do; without it, any float does.
fn wrong_element(entry: &Entry, expected: Option<&'static str>) -> Option<TensorProblem> {
    let (name, found) = (entry.name.clone(), entry.element.name().to_string());
    match expected {
        None => (!entry.element.is_float()).then_some(TensorProblem::DType { name, found }),
        Some(expected) => {
            (found != expected).then_some(TensorProblem::Storage { name, found, expected })
        }
    }
}

fn tensor_of(problem: &TensorProblem) -> &str {
    match problem {
        TensorProblem::Missing { name }
        | TensorProblem::Unknown { name }
        | TensorProblem::Shape { name, .. }
        | TensorProblem::DType { name, .. }
        | TensorProblem::Storage { name, .. }
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

/// What a parameter is made of.
#[derive(Debug)]
pub(crate) enum Loaded {
    /// Numbers, row-major.
    Float(Vec<f32>),
    /// A weight that stays in fewer bits.
    Compact(CompactMatrix),
}

impl Loaded {
    /// The weight in fewer bits, where it is not yet.
    ///
    /// NaN is left to the reader, which reports it: it becomes some number here.
    pub(crate) fn compact(
        self,
        compact: impl FnOnce(&[f32]) -> Result<CompactMatrix>,
    ) -> Result<Self> {
        match self {
            Self::Float(values) => compact(&values).map(Self::Compact),
            Self::Compact(_) => Ok(self),
        }
    }
}

/// Reads the tensors of an audited checkpoint, one at a time.
///
/// A tensor's memory is what [`read`](Self::read) hands out, plus a second copy of it while it is
/// being read from a `.bin` or `.h5` file. Reading the largest tensor first, as
/// [`names::parameters`](super::names::parameters) does, therefore keeps the peak near the size of the model.
#[derive(Debug)]
pub struct WeightReader<'a> {
    checkpoint: &'a Checkpoint,
    /// Number of the entry for every canonical name.
    places: HashMap<String, usize>,
    quantized: HashMap<String, StoredWeight>,
    faults: Vec<TensorProblem>,
}

impl WeightReader<'_> {
    /// Reads one parameter by its canonical name (without `transformer.`) as `f32`, row-major, in
    /// the shape that [`names::parameters`](super::names::parameters) gives. Of a quantized weight these are the values that it stands for.
    ///
    /// NaN and infinity are noted for [`finish`](Self::finish).
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Format`] when the file disagrees with its own header;
    /// [`Error::Argument`] for a name that the configured model does not have.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        self.load(name).map(|loaded| match loaded {
            Loaded::Float(values) => values,
            Loaded::Compact(matrix) => matrix.to_values(),
        })
    }

    /// As [`read`](Self::read), and a weight that is stored quantized stays so.
    pub(crate) fn load(&mut self, name: &str) -> Result<Loaded> {
        match self.quantized.get(name) {
            Some(weight) => self.load_quantized(&weight.clone()).map(Loaded::Compact),
            None => self.load_float(name).map(Loaded::Float),
        }
    }

    fn load_float(&mut self, name: &str) -> Result<Vec<f32>> {
        let number = self.place(name)?;
        let values = self.checkpoint.read_entry(number)?;
        let count = values.iter().filter(|value| !value.is_finite()).count();
        if count > 0 {
            let name = self.checkpoint.entries[number].name.clone();
            self.faults.push(TensorProblem::NonFinite { name, count });
        }
        Ok(values)
    }

    fn load_quantized(&mut self, weight: &StoredWeight) -> Result<CompactMatrix> {
        let whole = self.checkpoint.read_bytes(self.place(&weight.whole_name())?)?;
        let place = self.place(&weight.scale_name())?;
        let (matrix, count) = weight.decode(&whole, &self.checkpoint.read_bytes(place)?)?;
        if count > 0 {
            let name = self.checkpoint.entries[place].name.clone();
            self.faults.push(TensorProblem::NonFinite { name, count });
        }
        Ok(CompactMatrix::Quantized(matrix))
    }

    fn place(&self, name: &str) -> Result<usize> {
        let place = self.places.get(name).copied();
        place.ok_or_else(|| Error::argument("name", format!("`{name}`"), "a parameter's name"))
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
