//! LoRA: which modules get low-rank weights, and PEFT's folders of such weights.
//!
//! [`LoraConfig`] is `adapter_config.json`. [`Gpt2::with_lora`](crate::Gpt2::with_lora) puts fresh
//! weights into a model, [`Gpt2::load_adapter`](crate::Gpt2::load_adapter) those of a folder;
//! [`Gpt2::save_adapter`](crate::Gpt2::save_adapter) writes one, and
//! [`Gpt2::merge_lora`](crate::Gpt2::merge_lora) makes an ordinary model of it all.

mod adapter;
mod fields;

use std::path::Path;

use crate::config::read_object;
use crate::weights::names;
use crate::{Error, Gpt2Config, Result};

/// An upper bound that no adapter comes near; it keeps a hostile file from asking for absurd memory.
const MOST_RANK: usize = 1 << 16;

/// Low-rank weights of a model, under the names and with the defaults of PEFT's `LoraConfig`.
///
/// A target module computes `x @ weight + bias + dropout(x) @ A^T @ B^T * scaling`, where A is
/// `[r, in]` and B `[out, r]` (Hu et al. 2021, section 4.1). Biases are those of the model
/// (PEFT's `bias = "none"`).
///
/// # Example
/// ```
/// use gpt2_core::{Gpt2Config, LoraConfig};
///
/// let lora = LoraConfig { r: 4, target_modules: vec!["c_attn".into(), "mlp.c_proj".into()], ..LoraConfig::default() };
/// let parameters = lora.parameters(&Gpt2Config::gpt2())?;
/// assert_eq!(parameters.len(), 12 * 2 * 2);
/// assert_eq!(parameters[0], ("h.0.attn.c_attn.lora_A.weight".to_string(), [4, 768]));
/// # Ok::<(), gpt2_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the change of a weight.
    pub r: usize,
    /// Factor on the change, which is divided by the rank.
    pub lora_alpha: f64,
    /// Dropout on the input of A while training.
    pub lora_dropout: f64,
    /// Modules, by their whole name or the end of it from a point on: `c_attn`, `mlp.c_proj`,
    /// `h.0.mlp.c_fc`.
    pub target_modules: Vec<String>,
    /// Divide by the root of the rank instead (rank-stabilized LoRA, Kalajdzievski 2023).
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    /// What PEFT does with a GPT-2 where nothing is said.
    fn default() -> Self {
        Self {
            r: 8,
            lora_alpha: 8.0,
            lora_dropout: 0.0,
            target_modules: vec!["c_attn".to_string()],
            use_rslora: false,
        }
    }
}

impl LoraConfig {
    /// Checks what can be checked without a model.
    ///
    /// # Errors
    /// [`Error::Field`] naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        if self.r == 0 || self.r > MOST_RANK {
            return Err(Error::field("r", self.r, format!("1 to {MOST_RANK}")));
        }
        if !self.lora_alpha.is_finite() || self.lora_alpha <= 0.0 {
            return Err(Error::field("lora_alpha", self.lora_alpha, "a number above 0"));
        }
        if !(0.0..1.0).contains(&self.lora_dropout) {
            let expected = "a probability in [0, 1)";
            return Err(Error::field("lora_dropout", self.lora_dropout, expected));
        }
        if self.target_modules.is_empty() {
            return Err(Error::field("target_modules", "an empty list", "at least one module"));
        }
        Ok(())
    }

    /// The factor on the low-rank product.
    #[must_use]
    pub fn scaling(&self) -> f64 {
        let rank = self.r as f64;
        self.lora_alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Whether a module, such as `h.0.attn.c_attn`, gets low-rank weights.
    #[must_use]
    pub fn is_target(&self, module: &str) -> bool {
        self.target_modules.iter().any(|target| is_named(module, target))
    }

    /// Name and shape of every low-rank weight in the configured model: for each target module, in
    /// the order of [`names::parameters`], A `[r, in]` and B `[out, r]`.
    ///
    /// # Errors
    /// What [`validate`](Self::validate) says; [`Error::Field`] for a target that is no module with
    /// a matrix.
    pub fn parameters(&self, config: &Gpt2Config) -> Result<Vec<(String, [usize; 2])>> {
        self.validate()?;
        let modules: Vec<(String, [usize; 2])> =
            names::parameters(config).into_iter().filter_map(projection).collect();
        let is_missing =
            |target: &&String| !modules.iter().any(|(module, _)| is_named(module, target));
        if let Some(target) = self.target_modules.iter().find(is_missing) {
            let expected = format!(
                "c_attn, c_proj, c_fc, or one of them as in attn.c_proj or h.{}.mlp.c_proj",
                config.n_layer - 1
            );
            return Err(Error::field("target_modules", format!("`{target}`"), expected));
        }
        let weights = |(module, [width, out]): (String, [usize; 2])| {
            [
                (format!("{module}.lora_A.weight"), [self.r, width]),
                (format!("{module}.lora_B.weight"), [out, self.r]),
            ]
        };
        let targets = modules.into_iter().filter(|(module, _)| self.is_target(module));
        Ok(targets.flat_map(weights).collect())
    }

    /// Reads `adapter_config.json`.
    ///
    /// Fields that say nothing about numbers are passed over, and so is any that is off: null,
    /// false or empty.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], or [`Error::Field`] naming the field that is wrong or that
    /// is not supported.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        fields::read(read_object(path)?).map_err(|error| error.in_file(path))
    }
}

/// Whether a target names a module. Source: `check_target_module_exists` of PEFT.
fn is_named(module: &str, target: &str) -> bool {
    let whole = format!("{}{module}", names::PREFIX);
    whole.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Module and extents `[in, out]` of a block's matrix.
fn projection((name, shape): (String, Vec<usize>)) -> Option<(String, [usize; 2])> {
    let module = name.strip_suffix(".weight").filter(|name| name.starts_with("h."))?;
    Some((module.to_string(), <[usize; 2]>::try_from(shape).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_whole_names_or_their_ends() {
        for (target, module, expected) in [
            ("c_attn", "h.3.attn.c_attn", true),
            ("c_proj", "h.3.attn.c_proj", true),
            ("c_proj", "h.3.mlp.c_proj", true),
            ("attn.c_proj", "h.3.mlp.c_proj", false),
            ("h.3.mlp.c_fc", "h.3.mlp.c_fc", true),
            ("transformer.h.3.mlp.c_fc", "h.3.mlp.c_fc", true),
            // Not a part of a name, and not of `h.3`.
            ("attn", "h.3.attn.c_attn", false),
            ("h.3.attn.c_attn", "h.13.attn.c_attn", false),
            ("", "h.3.attn.c_attn", false),
        ] {
            assert_eq!(is_named(module, target), expected, "{target} {module}");
        }
    }

    #[test]
    fn a_rank_is_divided_by_itself_or_its_root() {
        let config = LoraConfig { r: 16, lora_alpha: 8.0, ..LoraConfig::default() };
        assert_eq!(config.scaling(), 0.5);
        assert_eq!(LoraConfig { use_rslora: true, ..config }.scaling(), 2.0);
    }

    #[test]
    fn every_bad_field_is_named() {
        let good = LoraConfig::default;
        let targets = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        for (config, field) in [
            (LoraConfig { r: 0, ..good() }, "r"),
            (LoraConfig { r: usize::MAX, ..good() }, "r"),
            (LoraConfig { lora_alpha: f64::NAN, ..good() }, "lora_alpha"),
            (LoraConfig { lora_alpha: 0.0, ..good() }, "lora_alpha"),
            (LoraConfig { lora_dropout: 1.0, ..good() }, "lora_dropout"),
            (LoraConfig { target_modules: Vec::new(), ..good() }, "target_modules"),
            (
                LoraConfig { target_modules: targets(&["c_attn", "q_proj"]), ..good() },
                "target_modules",
            ),
            (LoraConfig { target_modules: targets(&["wte"]), ..good() }, "target_modules"),
            (
                LoraConfig { target_modules: targets(&["h.12.mlp.c_fc"]), ..good() },
                "target_modules",
            ),
        ] {
            let message = config.parameters(&Gpt2Config::gpt2()).unwrap_err().to_string();
            assert!(message.contains(&format!("`{field}`")), "{message}");
        }
    }
}
