//! What a `spiece.model` holds, as far as it is counted and checked.
//!
//! The file is one protocol buffer, `ModelProto` of `sentencepiece_model.proto`: field 1, repeated, is a piece with its
//! text (1), score (2) and type (3).

pub(in crate::tokenizer) mod proto;

use super::files::SourceFile;
use crate::{Error, Result};

/// The type of the piece that stands for everything unknown; a model has exactly one.
const UNKNOWN: u64 = 2;
/// The largest type that is defined (byte pieces).
const LAST_TYPE: u64 = 6;

/// Counts the pieces of a model.
///
/// # Errors
/// [`Error::Format`] when the file is no SentencePiece model or is cut.
pub(super) fn count_pieces(file: &SourceFile) -> Result<usize> {
    let refuse = |reason: String| Error::format(&file.path, "SentencePiece model", reason);
    if file.bytes.is_empty() {
        return Err(refuse("the file is empty".to_string()));
    }
    let mut model = Message::new(&file.bytes, 0);
    let (mut pieces, mut unknown) = (0, 0);
    while let Some((number, value)) = model.next_field().map_err(refuse)? {
        if number == 1 {
            let Value::Bytes(bytes, start) = value else {
                return Err(refuse(format!("piece {pieces} is no message")));
            };
            let kind =
                read_piece(bytes, start).map_err(|e| refuse(format!("piece {pieces}: {e}")))?;
            unknown += usize::from(kind == UNKNOWN);
            pieces += 1;
        }
    }
    if unknown != 1 {
        return Err(refuse(format!(
            "{unknown} of {pieces} pieces are unknown tokens, expected one"
        )));
    }
    Ok(pieces)
}

/// Checks one piece and returns its type.
fn read_piece(bytes: &[u8], start: usize) -> Result<u64, String> {
    let mut piece = Message::new(bytes, start);
    let (mut has_text, mut kind) = (false, 1);
    while let Some((number, value)) = piece.next_field()? {
        match (number, value) {
            (1, Value::Bytes(text, at)) => {
                has_text = !text.is_empty();
                std::str::from_utf8(text).map_err(|_| format!("text at byte {at} is not UTF-8"))?;
            }
            (3, Value::Number(value)) if (1..=LAST_TYPE).contains(&value) => kind = value,
            (1 | 3, _) => return Err(format!("field {number} is of the wrong kind")),
            _ => {}
        }
    }
    if has_text { Ok(kind) } else { Err("has no text".to_string()) }
}

/// A field's content.
enum Value<'b> {
    Number(u64),
    /// Bytes and where they start in the file.
    Bytes(&'b [u8], usize),
    /// Four or eight bytes that nobody looks at.
    Fixed,
}

/// A message in the wire format, read field by field.
struct Message<'b> {
    rest: &'b [u8],
    at: usize,
}

impl<'b> Message<'b> {
    fn new(bytes: &'b [u8], at: usize) -> Self {
        Self { rest: bytes, at }
    }

    fn next_field(&mut self) -> Result<Option<(u64, Value<'b>)>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > (1 << 29) - 1 {
            return Err(format!("field number {number} at byte {start}"));
        }
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                let at = self.at;
                Value::Bytes(self.take(length)?, at)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            other => return Err(format!("wire type {other} at byte {start}")),
        };
        Ok(Some((number, value)))
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], String> {
        let whole =
            usize::try_from(length).ok().and_then(|length| self.rest.split_at_checked(length));
        let (taken, rest) = whole.ok_or_else(|| {
            format!("a field of {length} bytes at byte {} ends behind its container", self.at)
        })?;
        self.rest = rest;
        self.at += taken.len();
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, String> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(format!("number at byte {start} is cut"));
            };
            self.rest = rest;
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(format!("number at byte {start} is longer than ten bytes"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, content.len() as u8], content].concat()
    }

    fn piece(text: &str, kind: u8) -> Vec<u8> {
        let score = [2 << 3 | 5, 0, 0, 0, 0];
        field(1, &[field(1, text.as_bytes()), score.to_vec(), vec![3 << 3, kind]].concat())
    }

    /// A model of three pieces and some training settings.
    pub(in super::super) fn model() -> Vec<u8> {
        [piece("<unk>", 2), piece("▁the", 1), piece("語", 1), field(2, b"")].concat()
    }

    fn count(bytes: &[u8]) -> Result<usize> {
        count_pieces(&SourceFile {
            name: "spiece.model",
            path: "spiece.model".into(),
            bytes: bytes.to_vec(),
        })
    }

    #[test]
    fn pieces_are_counted() {
        assert_eq!(count(&model()).unwrap(), 3);
    }

    #[test]
    fn every_cut_inside_the_pieces_is_refused() {
        let first = piece("<unk>", 2).len();
        let second = first + piece("▁the", 1).len();
        let third = second + piece("語", 1).len();
        for length in (0..third).filter(|length| ![first, second].contains(length)) {
            let error = count(&model()[..length]).unwrap_err();
            assert!(matches!(error, Error::Format { .. }), "{length}: {error}");
        }
    }

    #[test]
    fn noise_is_refused() {
        let mut state = 7_u32;
        for _ in 0..200 {
            let noise: Vec<u8> = (0..500)
                .map(|_| {
                    state = state.wrapping_mul(1664525).wrapping_add(1013904223);
                    (state >> 24) as u8
                })
                .collect();
            assert!(count(&noise).is_err());
        }
        assert!(count(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]).is_err());
    }

    #[test]
    fn a_model_has_one_unknown_piece_and_no_empty_one() {
        let error = count(&piece("a", 1)).unwrap_err().to_string();
        assert!(error.contains("0 of 1 pieces"), "{error}");
        let error = count(&[model(), piece("", 1)].concat()).unwrap_err().to_string();
        assert!(error.contains("piece 3: has no text"), "{error}");
    }
}
