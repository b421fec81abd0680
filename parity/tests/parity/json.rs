//! Reading expected JSON.

use serde_json::Value;

/// A list of token ids.
pub fn ids(value: &Value) -> Vec<u32> {
    items(value).iter().map(|id| id.as_u64().expect("an id") as u32).collect()
}

/// Lists of token ids.
pub fn rows(value: &Value) -> Vec<Vec<u32>> {
    items(value).iter().map(ids).collect()
}

/// The elements of a list.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// A field that is a number.
pub fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number {key}"))
}

/// A field that counts something.
pub fn count(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("no count {key}")) as usize
}

/// A field that is text.
pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key}"))
}
