//! Whether Burn may make one kernel of several operations on a GPU.

use std::env;
use std::sync::OnceLock;

use burn_cubecl::fusion::{BUILTIN_NAMES, RegistryError, remove};

use crate::{Error, Result};

/// The environment variable that says so.
const VARIABLE: &str = "GPT2_FUSION";

/// Does what the environment asks for, once per process and before its first tensor on a GPU.
///
/// # Errors
/// [`Error::Environment`] where the variable has another value than `on` or `off`, or comes too late.
pub(super) fn apply() -> Result<()> {
    static APPLIED: OnceLock<Result<(), RegistryError>> = OnceLock::new();
    let asked = env::var_os(VARIABLE).map(|value| named(&value.to_string_lossy())).transpose()?;
    // Off where nobody asks: beside our own kernels little is left to fuse.
    if asked == Some(true) {
        return Ok(());
    }
    let applied = APPLIED.get_or_init(|| BUILTIN_NAMES.iter().try_for_each(|name| remove(name)));
    match applied {
        Err(_) if asked.is_some() => Err(Error::Environment {
            variable: VARIABLE,
            found: "off".to_string(),
            expected: "no tensor on a GPU before the first device is opened by its name"
                .to_string(),
        }),
        _ => Ok(()),
    }
}

fn named(value: &str) -> Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Error::Environment {
            variable: VARIABLE,
            found: value.to_string(),
            expected: "on or off".to_string(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_has_two_positions() {
        assert!(named("on").unwrap() && !named("off").unwrap());
        let error = named("plain").unwrap_err().to_string();
        assert_eq!(error, "GPT2_FUSION is `plain`, expected on or off");
    }
}
