//! [`Quantization`]: what is quantized in a model, and how.

use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::DepthAxis;
use crate::config::{Fields, shown};
use crate::weights::names;
use crate::{Error, Result};

/// Value of `quant_method`: weights are rounded to nearest, without data.
const METHOD: &str = "rtn";

/// Numbers of the largest group.
pub(super) const LARGEST_GROUP: usize = 128;

/// How the weights of a model are quantized.
///
/// Of a GPT-2 these are quantized: the weights of the four products of each block, the token embedding and a head of
/// its own. Position embedding, LayerNorms and biases stay floats. Activations are quantized to 8 bits as they come,
/// in the groups of the weights, where the backend has such products; see `docs/quantization.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// 8 bits.
    Int8,
    /// 4 bits in the blocks, 8 for the token embedding and the head, which lose most by fewer.
    Int4,
}

/// The whole numbers of one matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntFormat {
    /// From -127 to 127, 128 to a scale.
    Int8,
    /// From -8 to 7, 32 to a scale.
    Int4,
}

impl IntFormat {
    /// Bits of a number.
    #[must_use]
    pub fn bits(self) -> usize {
        match self {
            Self::Int8 => 8,
            Self::Int4 => 4,
        }
    }

    /// Numbers along the depth that have one scale.
    #[must_use]
    pub fn group_size(self) -> usize {
        match self {
            Self::Int8 => LARGEST_GROUP,
            Self::Int4 => 32,
        }
    }
}

impl Quantization {
    /// Both, for lists.
    pub const ALL: [Self; 2] = [Self::Int8, Self::Int4];

    /// `int8` or `int4`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// The numbers in the products of the blocks.
    #[must_use]
    pub fn format(self) -> IntFormat {
        match self {
            Self::Int8 => IntFormat::Int8,
            Self::Int4 => IntFormat::Int4,
        }
    }

    /// The numbers in the token embedding, and in a head of its own.
    #[must_use]
    pub fn table_format(self) -> IntFormat {
        IntFormat::Int8
    }

    /// The numbers of a weight; `None` for one that stays as it is.
    #[must_use]
    pub fn format_of(self, name: &str) -> Option<IntFormat> {
        names::depth_axis(name).map(|axis| match axis {
            DepthAxis::First => self.format(),
            DepthAxis::Last => self.table_format(),
        })
    }

    /// The object that stands in `config.json` as `quantization_config`.
    #[must_use]
    pub fn to_json(self) -> Value {
        json!({
            "quant_method": METHOD,
            "bits": self.format().bits(),
            "group_size": self.format().group_size(),
            "sym": true,
            "embedding_bits": self.table_format().bits(),
            "modules_to_not_convert": ["wpe"],
        })
    }

    /// Reads `quantization_config`.
    ///
    /// # Errors
    /// [`Error::Field`] for another method or other numbers than [`to_json`](Self::to_json) writes.
    pub fn from_json(object: &Map<String, Value>) -> Result<Self> {
        let mut fields = Fields::new(object.clone());
        let method = fields.optional_string("quant_method").map_err(within)?;
        if method.as_deref() != Some(METHOD) {
            let found = method.map_or_else(|| "missing".to_string(), |name| shown(&json!(name)));
            return Err(within(Error::field("quant_method", found, format!("\"{METHOD}\""))));
        }
        let bits = fields.usize("bits", 0).map_err(within)?;
        let Some(found) = Self::ALL.into_iter().find(|one| one.format().bits() == bits) else {
            return Err(within(Error::field("bits", bits, "8 or 4")));
        };
        let expected = found.to_json();
        for field in ["group_size", "sym", "embedding_bits"] {
            if object.get(field) != Some(&expected[field]) {
                let value = object.get(field).map_or_else(|| "missing".to_string(), shown);
                return Err(within(Error::field(field, value, &expected[field])));
            }
        }
        Ok(found)
    }
}

/// Names the object that a field is in.
fn within(error: Error) -> Error {
    match error {
        Error::Field { path, field, found, expected } => {
            Error::Field { path, field: format!("quantization_config.{field}"), found, expected }
        }
        other => other,
    }
}

impl FromStr for Quantization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|one| one.name() == name);
        found.ok_or_else(|| Error::argument("quantize", format!("`{name}`"), "int8 or int4"))
    }
}
