//! How exact products of `f32` are.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// How products of `f32` are computed where matrix units could do them with fewer bits, which are CUDA cards from Ampere
/// on. Other devices always multiply in `f32`.
///
/// Equals `torch.set_float32_matmul_precision`, whose `medium` is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Float32MatmulPrecision {
    /// In `f32`.
    #[default]
    Highest,
    /// In TF32: factors are rounded to 10 bits behind the point, sums are made in `f32`. Several times as fast.
    High,
}

/// Whether the process takes [`Float32MatmulPrecision::High`].
static IS_HIGH: AtomicBool = AtomicBool::new(false);

/// Sets how products of `f32` are computed from now on, in the whole process.
pub fn set_float32_matmul_precision(precision: Float32MatmulPrecision) {
    IS_HIGH.store(precision == Float32MatmulPrecision::High, Ordering::Relaxed);
}

/// How products of `f32` are computed.
#[must_use]
pub fn float32_matmul_precision() -> Float32MatmulPrecision {
    match IS_HIGH.load(Ordering::Relaxed) {
        true => Float32MatmulPrecision::High,
        false => Float32MatmulPrecision::Highest,
    }
}

impl fmt::Display for Float32MatmulPrecision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Highest => "highest",
            Self::High => "high",
        })
    }
}

impl FromStr for Float32MatmulPrecision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Highest, Self::High];
        all.into_iter().find(|one| one.to_string() == name).ok_or_else(|| {
            let found = format!("`{name}`");
            Error::argument("float32_matmul_precision", found, "highest or high")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_torch() {
        for (name, expected) in
            [("highest", Float32MatmulPrecision::Highest), ("high", Float32MatmulPrecision::High)]
        {
            let found: Float32MatmulPrecision = name.parse().unwrap();
            assert_eq!((found, found.to_string().as_str()), (expected, name));
        }
        let error = "medium".parse::<Float32MatmulPrecision>().unwrap_err().to_string();
        assert!(error.contains("`medium`") && error.contains("highest or high"), "{error}");
    }
}
