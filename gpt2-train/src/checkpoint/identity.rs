//! What run a checkpoint is of.

use std::path::Path;

use gpt2_core::Gpt2;
use gpt2_core::folder::write_file;
use gpt2_core::weights::names::is_lora;
use serde_json::{Value, json};
use xxhash_rust::xxh3::Xxh3;

use super::IDENTITY;
use crate::config::TrainingConfig;
use crate::data::Dataset;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// Options that change nothing about the numbers of a run.
const FREE: [&str; 2] = ["training.save_steps", "training.save_total_limit"];

/// What the last bits of the numbers depend on: another one is told and not refused.
const MACHINE: &str = "machine";

/// Everything that the numbers of a run follow from.
#[derive(Debug, Clone)]
pub(crate) struct RunIdentity(Value);

impl RunIdentity {
    /// The identity of a run that starts from `model`.
    pub fn new(
        training: &TrainingConfig,
        recipe: &Recipe,
        model: &Gpt2,
        train: &Dataset,
        valid: Option<&Dataset>,
    ) -> Result<Self> {
        let unwritable = |error| Error::option("recipe", error, "numbers that JSON can hold");
        // With LoRA the weights beneath are in no checkpoint; they must be the same ones.
        let base = model.lora().map(|_| hash_of_base(model)).transpose()?;
        let data = |data: &Dataset| json!({"sequences": data.len(), "hash": data.fingerprint()});
        let device = model.valid().device();
        Ok(Self(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "config": model.config().to_json(),
            "base_model": base,
            "training": serde_json::to_value(training).map_err(unwritable)?,
            "recipe": serde_json::to_value(recipe).map_err(unwritable)?,
            "data": data(train),
            "valid_data": valid.map(data),
            MACHINE: {"device": format!("{device:?}"), "threads": rayon::current_num_threads()},
        })))
    }

    /// Writes it into the folder of a checkpoint.
    pub fn write(&self, folder: &Path) -> Result<()> {
        Ok(write_file(folder.join(IDENTITY), format!("{:#}\n", self.0).as_bytes())?)
    }

    /// Compares with the run that a checkpoint is of; what differs about the machine is returned.
    ///
    /// # Errors
    /// [`Error::OtherRun`] naming the first field that differs; [`Error::Io`] and [`Error::Data`]
    /// for a file that cannot be read.
    pub fn check(&self, folder: &Path) -> Result<Vec<String>> {
        let path = folder.join(IDENTITY);
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let stored: Value = serde_json::from_str(&text)
            .map_err(|error| Error::data(&path, error.line(), format!("not JSON: {error}")))?;
        // Through text as well, so that both have the same roundings.
        let own: Value = serde_json::from_str(&self.0.to_string())
            .map_err(|error| Error::data(&path, None, error))?;
        let mut differences = Vec::new();
        compare("", &stored, &own, &mut differences);
        let (machine, mut others): (Vec<_>, Vec<_>) =
            differences.into_iter().partition(|difference| difference.field.starts_with(MACHINE));
        others.sort_by_key(|difference| is_consequence(&difference.field));
        match others.into_iter().find(|difference| !FREE.contains(&difference.field.as_str())) {
            Some(Difference { field, stored, own }) => {
                Err(Error::OtherRun { path, field, found: stored, expected: own })
            }
            None => Ok(machine.iter().map(Difference::text).collect()),
        }
    }
}

/// A hash of all weights that are not LoRA's.
fn hash_of_base(model: &Gpt2) -> Result<String> {
    let mut hash = Xxh3::new();
    for parameter in model.parameters().iter().filter(|parameter| !is_lora(&parameter.name)) {
        let values = parameter.to_vec()?;
        values.iter().for_each(|value| hash.update(&value.to_le_bytes()));
    }
    Ok(format!("{:032x}", hash.digest128()))
}

/// Whether a field may differ because an option does, which says more: another seed or block size makes
/// other data as well, dropout is in the model's config too, and without LoRA there is no base.
fn is_consequence(field: &str) -> bool {
    field == "base_model" || field.starts_with("config.") || field.contains("data.")
}

struct Difference {
    field: String,
    stored: String,
    own: String,
}

impl Difference {
    fn text(&self) -> String {
        format!("`{}` was {} and is {}", self.field, self.stored, self.own)
    }
}

/// Lists the innermost fields that differ, by their paths.
fn compare(path: &str, stored: &Value, own: &Value, found: &mut Vec<Difference>) {
    match (stored, own) {
        (Value::Object(a), Value::Object(b)) => {
            let only_b = b.keys().filter(|key| !a.contains_key(*key));
            for key in a.keys().chain(only_b) {
                let at = |object: &serde_json::Map<String, Value>| {
                    object.get(key).cloned().unwrap_or(Value::Null)
                };
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                compare(&path, &at(a), &at(b), found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}[{index}]"), a, b, found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => found.push(Difference {
            field: path.to_string(),
            stored: a.to_string(),
            own: b.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_field_is_named() {
        let stored = json!({"a": {"b": [1, {"c": 2}]}, "d": null, "e": 1});
        let own = json!({"a": {"b": [1, {"c": 3}]}, "f": "x", "e": 1});
        let mut found = Vec::new();
        compare("", &stored, &own, &mut found);
        let fields: Vec<_> = found.iter().map(|difference| difference.field.as_str()).collect();
        assert_eq!(fields, ["a.b[1].c", "f"]);
        assert_eq!(found[0].text(), "`a.b[1].c` was 2 and is 3");
    }
}
