//! [`LayerGroups`]: which parameters are frozen together and share a learning rate.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// No model has as many blocks; each group has its learning rate at every step.
const MOST_BLOCKS: usize = 1 << 16;

/// Parameters in groups, from the one that is unfrozen last to the one that is trained first.
///
/// No groups at all is one group of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "`groups` is neither a list of lists of modules nor `{ blocks = N }`"
)]
pub enum LayerGroups {
    /// Lists of modules by their names in the checkpoint, without `transformer.`: `h.0`, `wte`,
    /// `ln_f`.
    Modules(Vec<Vec<String>>),
    /// Groups of neighbouring blocks, of equal size or nearly so, and one more of everything else:
    /// embeddings, last LayerNorm, and the head where it has weights of its own. A model of any
    /// depth has them; with fewer blocks than groups some are empty.
    Blocks {
        /// Groups of blocks, 1 to 65,536.
        blocks: usize,
    },
}

impl Default for LayerGroups {
    fn default() -> Self {
        Self::Modules(Vec::new())
    }
}

impl LayerGroups {
    /// Checks the number of groups.
    ///
    /// # Errors
    /// [`Error::Option`] for no group of blocks, or more than 65,536.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Blocks { blocks } if !(1..=MOST_BLOCKS).contains(blocks) => {
                Err(Error::option("blocks", blocks, format!("1 to {MOST_BLOCKS}")))
            }
            _ => Ok(()),
        }
    }

    /// Number of groups.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Modules(groups) => groups.len().max(1),
            Self::Blocks { blocks } => blocks.saturating_add(1),
        }
    }

    /// The group of every parameter of a model, by their names.
    ///
    /// # Errors
    /// [`Error::Option`] for a parameter that is in no list or in two.
    pub fn assign(&self, parameters: &[String]) -> Result<Vec<usize>> {
        let layers = parameters.iter().filter_map(|name| layer(name)).max().map_or(0, |at| at + 1);
        let group = |name: &String| match self {
            Self::Modules(groups) => of_lists(groups, name),
            Self::Blocks { blocks } => {
                Ok(layer(name).map_or(*blocks, |layer| layer.saturating_mul(*blocks) / layers))
            }
        };
        parameters.iter().map(group).collect()
    }
}

/// The block that a parameter is in.
fn layer(parameter: &str) -> Option<usize> {
    parameter.strip_prefix("h.")?.split('.').next()?.parse().ok()
}

/// The list that holds the module of a parameter.
fn of_lists(groups: &[Vec<String>], parameter: &str) -> Result<usize> {
    if groups.is_empty() {
        return Ok(0);
    }
    let holds = |module: &String| {
        parameter.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.'))
    };
    let mut found = groups.iter().enumerate().filter(|(_, group)| group.iter().any(holds));
    match (found.next(), found.next()) {
        (Some((group, _)), None) => Ok(group),
        (first, _) => {
            let found = if first.is_some() { "two groups" } else { "no group" };
            let found = format!("a list with `{parameter}` in {found}");
            Err(Error::option("groups", found, "every parameter in one group"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    /// The groups of the blocks of a model so deep.
    fn of_blocks(n_layer: usize, blocks: usize) -> Vec<usize> {
        let names: Vec<_> = (0..n_layer).map(|layer| format!("h.{layer}.ln_1.bias")).collect();
        LayerGroups::Blocks { blocks }.assign(&names).unwrap()
    }

    #[test]
    fn three_groups_of_gpt2_small_are_those_of_gportuguese() {
        assert_eq!(of_blocks(12, 3), [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
        let groups = LayerGroups::Blocks { blocks: 3 };
        assert_eq!(groups.count(), 4);
        let parameters = names(&["wte.weight", "h.0.ln_1.bias", "h.11.mlp.c_fc.bias", "ln_f.bias"]);
        assert_eq!(groups.assign(&parameters).unwrap(), [3, 0, 2, 3]);
    }

    #[test]
    fn a_model_of_any_depth_has_groups_of_blocks() {
        assert_eq!(of_blocks(3, 3), [0, 1, 2]);
        assert_eq!(of_blocks(4, 3), [0, 0, 1, 2]);
        assert_eq!(of_blocks(2, 3), [0, 1]);
        assert_eq!(of_blocks(5, 1), [0; 5]);
        for blocks in [0, MOST_BLOCKS + 1, usize::MAX] {
            let message = LayerGroups::Blocks { blocks }.validate().unwrap_err().to_string();
            assert!(message.contains("1 to 65536"), "{message}");
        }
        LayerGroups::Blocks { blocks: MOST_BLOCKS }.validate().unwrap();
    }

    #[test]
    fn no_groups_are_one_group() {
        let groups = LayerGroups::default();
        groups.validate().unwrap();
        assert_eq!((groups.count(), groups.assign(&names(&["wte.weight"])).unwrap()), (1, vec![0]));
    }

    #[test]
    fn a_parameter_in_no_list_or_in_two_is_named() {
        let lists = |lists: &[&[&str]]| {
            LayerGroups::Modules(lists.iter().map(|list| names(list)).collect())
        };
        // `h.10` is not of `h.1`, although its name begins so.
        let parameter = names(&["h.10.ln_1.weight"]);
        for (groups, part) in [
            (lists(&[&["h.1"], &["wte"]]), "`h.10.ln_1.weight` in no group"),
            (lists(&[&["h.10"], &["h.10.ln_1", "wte"]]), "`h.10.ln_1.weight` in two groups"),
        ] {
            let message = groups.assign(&parameter).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("`groups`"), "{message}");
        }
    }
}
