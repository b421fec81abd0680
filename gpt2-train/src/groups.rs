//! [`LayerGroups`]: which parameters are frozen together and share a learning rate.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Parameters in groups, from the one that is unfrozen last to the one that is trained first.
///
/// A group is a list of modules by their names in the checkpoint, without `transformer.`: `h.0`,
/// `wte`, `ln_f`. No groups at all is one group of everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LayerGroups(pub Vec<Vec<String>>);

impl LayerGroups {
    /// `blocks` groups of neighbouring blocks, of nearly equal size, and one of everything else:
    /// embeddings, last LayerNorm, and the head where it has weights of its own.
    ///
    /// For GPT-2 small and `blocks = 3` these are the groups of GPorTuguese-2.
    #[must_use]
    pub fn of_blocks(n_layer: usize, blocks: usize) -> Self {
        let size = n_layer.div_ceil(blocks.max(1)).max(1);
        let names: Vec<String> = (0..n_layer).map(|layer| format!("h.{layer}")).collect();
        let mut groups: Vec<_> = names.chunks(size).map(<[String]>::to_vec).collect();
        groups.push(["wte", "wpe", "ln_f", "lm_head"].map(str::to_string).to_vec());
        Self(groups)
    }

    /// Number of groups.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len().max(1)
    }

    /// The group of a parameter.
    ///
    /// # Errors
    /// [`Error::Option`] for a parameter that is in no group or in two.
    pub fn of(&self, parameter: &str) -> Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let holds = |module: &String| {
            parameter.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with('.'))
        };
        let mut found = self.0.iter().enumerate().filter(|(_, group)| group.iter().any(holds));
        match (found.next(), found.next()) {
            (Some((group, _)), None) => Ok(group),
            (first, _) => {
                let found = if first.is_some() { "two groups" } else { "no group" };
                let found = format!("a list with `{parameter}` in {found}");
                Err(Error::option("groups", found, "every parameter in one group"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_gpt2_small_are_those_of_gportuguese() {
        let groups = LayerGroups::of_blocks(12, 3);
        assert_eq!(groups.count(), 4);
        for (parameter, group) in [
            ("h.3.ln_1.weight", 0),
            ("h.4.attn.c_attn.weight", 1),
            ("h.11.mlp.c_fc.bias", 2),
            // Not of `h.1`, although its name begins so.
            ("h.10.mlp.c_fc.bias", 2),
            ("wte.weight", 3),
            ("ln_f.bias", 3),
            ("lm_head.weight", 3),
        ] {
            assert_eq!(groups.of(parameter).unwrap(), group, "{parameter}");
        }
    }

    #[test]
    fn no_groups_are_one_group() {
        let groups = LayerGroups::default();
        assert_eq!((groups.count(), groups.of("wte.weight").unwrap()), (1, 0));
    }

    #[test]
    fn a_parameter_in_no_group_or_in_two_is_named() {
        let lists = |lists: &[&[&str]]| {
            LayerGroups(
                lists.iter().map(|list| list.iter().map(|m| m.to_string()).collect()).collect(),
            )
        };
        for (groups, part) in [
            (lists(&[&["h.0"], &["wte"]]), "`h.1.ln_1.weight` in no group"),
            (lists(&[&["h.1"], &["h.1.ln_1", "wte"]]), "`h.1.ln_1.weight` in two groups"),
        ] {
            let message = groups.of("h.1.ln_1.weight").unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("`groups`"), "{message}");
        }
    }
}
