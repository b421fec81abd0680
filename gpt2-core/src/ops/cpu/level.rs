//! Which instructions the kernels use.

use std::sync::OnceLock;

use crate::{Error, Result};

/// The environment variable that names a level.
const VARIABLE: &str = "GPT2_SIMD";

/// A set of instructions; later ones of a processor hold more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every processor of the target has.
    Portable,
    /// NEON.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, CD, DQ and VL.
    Avx512,
    /// And the products of bytes that are added up.
    Avx512Vnni,
}

impl Level {
    const ALL: [Self; 5] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Vnni];

    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vnni => "avx512vnni",
        }
    }

    fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => pulp::aarch64::Neon::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => pulp::x86::V3::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => pulp::x86::V4::try_new().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => {
                Self::Avx512.is_available() && std::is_x86_feature_detected!("avx512vnni")
            }
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// The levels that this processor has, least first.
    pub fn available() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_available())
    }

    fn best() -> Self {
        Self::available().next_back().unwrap_or(Self::Portable)
    }
}

/// The level of this process: the best that the processor has, or the one that `GPT2_SIMD` names.
pub(crate) fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| check().unwrap_or_else(|_| Level::best()))
}

/// What `GPT2_SIMD` asks for.
///
/// # Errors
/// [`Error::Environment`] where it names no level of this processor.
pub(crate) fn check() -> Result<Level> {
    match std::env::var_os(VARIABLE) {
        Some(name) => named(&name.to_string_lossy()),
        None => Ok(Level::best()),
    }
}

fn named(name: &str) -> Result<Level> {
    Level::available().find(|level| level.name() == name).ok_or_else(|| {
        let names: Vec<_> = Level::available().map(Level::name).collect();
        Error::Environment {
            variable: VARIABLE,
            found: name.to_string(),
            expected: format!("one of {}, which this processor has", names.join(", ")),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_goes_by_its_name_where_the_processor_has_it() {
        for level in Level::available() {
            assert_eq!(named(level.name()).unwrap(), level);
        }
        let error = named("avx1024").unwrap_err().to_string();
        assert!(error.starts_with("GPT2_SIMD is `avx1024`, expected one of portable"), "{error}");
        let missing = Level::ALL.into_iter().find(|level| !level.is_available()).unwrap();
        assert!(named(missing.name()).is_err());
        assert!(level().is_available());
    }
}
