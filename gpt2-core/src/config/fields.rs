//! Typed access to a JSON object, so that an error names the field and not a byte offset.

use std::path::Path;

use serde_json::{Map, Value};

use super::Activation;
use crate::{Error, Result};

/// No configuration file comes near this size; larger ones are refused before they are parsed.
const MAX_BYTES: u64 = 16 << 20;

/// Reads a JSON file whose top level is an object.
///
/// # Errors
/// [`Error::Io`], [`Error::Json`], or [`Error::Format`] when it is too large or not an object.
pub fn read_object(path: &Path) -> Result<Map<String, Value>> {
    let size = std::fs::metadata(path).map_err(Error::io("read", path))?.len();
    if size > MAX_BYTES {
        return Err(Error::format(path, "JSON", format!("{size} bytes is no configuration")));
    }
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Json { path: path.to_path_buf(), source })?;
    match value {
        Value::Object(object) => Ok(object),
        other => Err(Error::format(path, "JSON", format!("{}, expected an object", kind(&other)))),
    }
}

/// A JSON object from which fields are taken one by one.
#[derive(Debug, Clone)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// Takes hold of an object.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        Self(object)
    }

    /// What nobody asked for.
    #[must_use]
    pub fn rest(self) -> Map<String, Value> {
        self.0
    }

    /// A whole number; an absent field has the default.
    ///
    /// # Errors
    /// [`Error::Field`] when the value is of another type, as for every method here.
    pub fn usize(&mut self, field: &str, default: usize) -> Result<usize> {
        self.parse(field, default, "a whole number", |v| usize::try_from(v.as_u64()?).ok())
    }

    /// A whole number, or null, which an absent field is too.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn optional_usize(&mut self, field: &str) -> Result<Option<usize>> {
        self.take_nullable(field, "a whole number or null", |v| usize::try_from(v.as_u64()?).ok())
    }

    /// A number; an absent field has the default.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn f64(&mut self, field: &str, default: f64) -> Result<f64> {
        self.parse(field, default, "a number", Value::as_f64)
    }

    /// A switch; an absent field has the default.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn bool(&mut self, field: &str, default: bool) -> Result<bool> {
        self.parse(field, default, "true or false", Value::as_bool)
    }

    /// Reads a switch and leaves it in place; anything but `true` is `false`.
    #[must_use]
    pub fn peek_bool(&self, field: &str) -> bool {
        self.0.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A string, or null.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn optional_string(&mut self, field: &str) -> Result<Option<String>> {
        self.take_nullable(field, "a string", |v| v.as_str().map(str::to_string))
    }

    /// The name of an activation function; an absent field is `gelu_new`.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn activation(&mut self, field: &str) -> Result<Activation> {
        let names = Activation::ALL.map(Activation::name).join(", ");
        self.parse(field, Activation::GeluNew, &format!("one of {names}"), |v| {
            Activation::from_name(v.as_str()?)
        })
    }

    /// An absent field has the default; null means that there is no such token.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn token_id(&mut self, field: &str, default: Option<u32>) -> Result<Option<u32>> {
        self.parse_or_null(field, default, "a token id or null", token_id)
    }

    /// As [`token_id`](Self::token_id), but a list is allowed too.
    ///
    /// # Errors
    /// As [`usize`](Self::usize).
    pub fn token_ids(&mut self, field: &str, default: Vec<u32>) -> Result<Vec<u32>> {
        let expected = "a token id, a list of them or null";
        let ids = self.parse_or_null(field, Some(default), expected, |v| match v {
            Value::Array(ids) => ids.iter().map(token_id).collect(),
            one => token_id(one).map(|id| vec![id]),
        })?;
        Ok(ids.unwrap_or_default())
    }

    /// A value of any kind, which `read` recognises; an absent field has the default.
    ///
    /// # Errors
    /// [`Error::Field`], saying what was `expected`, when `read` gives `None`.
    pub fn parse<T>(
        &mut self,
        field: &str,
        default: T,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T> {
        match self.0.remove(field) {
            None => Ok(default),
            Some(value) => read(&value).ok_or_else(|| Error::field(field, shown(&value), expected)),
        }
    }

    /// As [`parse`](Self::parse), and null is `None`.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_or_null<T>(
        &mut self,
        field: &str,
        default: Option<T>,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.0.contains_key(field) {
            true => self.take_nullable(field, expected, read),
            false => Ok(default),
        }
    }

    fn take_nullable<T>(
        &mut self,
        field: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                read(&value).map(Some).ok_or_else(|| Error::field(field, shown(&value), expected))
            }
        }
    }
}

/// A token id; `None` if the value is none.
#[must_use]
pub fn token_id(value: &Value) -> Option<u32> {
    u32::try_from(value.as_u64()?).ok()
}

/// The value as it stands in the file, cut where a hostile one would fill the screen.
#[must_use]
pub fn shown(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
