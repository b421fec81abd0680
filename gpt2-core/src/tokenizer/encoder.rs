//! The short way from text to ids, where nothing changes the text first.
//!
//! The `tokenizers` crate keeps for every byte of a text where it came from, makes a string of every word and a token
//! of every id. Here a word is a slice of the text, its ids are looked up or merged, and offsets follow from the ids:
//! the bytes of all tokens, one behind the other, are the text.

use std::collections::HashMap;

use super::Encoding;
use super::added::{AddedFinder, Part};
use super::bytes::{byte_of, char_of};
use super::cache::{Workspace, Workspaces};
use super::json::Pipeline;
use super::merge::Merges;
use super::offsets::Offsets;
use super::split::words;
use super::table::TokenTable;
use crate::{Error, Result};

/// Text to ids and offsets.
pub(super) struct Encoder {
    /// The token of each byte, where there is one.
    bytes: [Option<u32>; 256],
    merges: Merges,
    /// Tokens that are taken whole, by their bytes; empty where merges decide.
    whole: HashMap<Vec<u8>, u32>,
    added: AddedFinder,
    add_prefix_space: bool,
    one_word: bool,
    /// Offsets leave out white space; the value is the post-processor's `add_prefix_space`.
    trim_offsets: Option<bool>,
    workspaces: Workspaces,
}

impl Encoder {
    /// An encoder for a pipeline, if it is one that this is the short way of: without normalizers, and without an
    /// unknown token that has work to do.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for too many added tokens.
    pub(super) fn new(pipeline: &Pipeline) -> Result<Option<Self>> {
        let ids = &pipeline.vocabulary.ids;
        let bytes: [_; 256] = std::array::from_fn(|byte| {
            ids.get(char_of(byte as u8).encode_utf8(&mut [0; 4])).copied()
        });
        let needs_unk = pipeline.unk_token.is_some() && bytes.contains(&None);
        if !pipeline.normalizers.is_empty() || needs_unk {
            return Ok(None);
        }
        let merges = pipeline.vocabulary.merges.iter().filter_map(|(left, right)| {
            Some((*ids.get(left)?, *ids.get(right)?, *ids.get(&format!("{left}{right}"))?))
        });
        let mut whole = HashMap::new();
        if pipeline.ignore_merges {
            let bytes = |token: &String| token.chars().map(byte_of).collect::<Option<Vec<u8>>>();
            whole = ids.iter().filter_map(|(token, id)| Some((bytes(token)?, *id))).collect();
        }
        Ok(Some(Self {
            bytes,
            merges: Merges::new(merges),
            whole,
            added: AddedFinder::new(&pipeline.added)?,
            add_prefix_space: pipeline.add_prefix_space,
            one_word: pipeline.one_word,
            trim_offsets: pipeline.trim_offsets,
            workspaces: Workspaces::default(),
        }))
    }

    /// Ids alone.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a character that the vocabulary cannot spell.
    pub(super) fn encode_ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.workspaces.with(|workspace| {
            for part in self.added.parts(text) {
                match part {
                    Part::Token(id, _) => ids.push(id),
                    Part::Text(range) => self.encode_part(&text[range], workspace, &mut ids)?,
                }
            }
            Ok(ids)
        })
    }

    /// Ids with the characters that they stand for; `table` has the bytes of the ids.
    ///
    /// # Errors
    /// As [`Encoder::encode_ids`].
    pub(super) fn encode(&self, text: &str, table: &TokenTable) -> Result<Encoding> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        let mut offsets = Offsets::new(text, table, self.trim_offsets);
        self.workspaces.with(|workspace| {
            for part in self.added.parts(text) {
                let start = ids.len();
                match part {
                    Part::Token(id, range) => {
                        ids.push(id);
                        offsets.push_range(range);
                    }
                    Part::Text(range) => {
                        let part = &text[range.clone()];
                        self.encode_part(part, workspace, &mut ids)?;
                        offsets.push_ids(range, self.needs_prefix(part), &ids[start..]);
                    }
                }
            }
            Ok(Encoding { ids, offsets: offsets.list })
        })
    }

    fn needs_prefix(&self, part: &str) -> bool {
        self.add_prefix_space && !part.is_empty() && !part.starts_with(' ')
    }

    fn encode_part(&self, part: &str, workspace: &mut Workspace, ids: &mut Vec<u32>) -> Result<()> {
        let prefixed;
        let part = if self.needs_prefix(part) {
            prefixed = format!(" {part}");
            prefixed.as_str()
        } else {
            part
        };
        if self.one_word {
            return self.encode_word(part, workspace, ids);
        }
        words(part).try_for_each(|word| self.encode_word(word, workspace, ids))
    }

    fn encode_word(&self, word: &str, workspace: &mut Workspace, ids: &mut Vec<u32>) -> Result<()> {
        let bytes = word.as_bytes();
        if let Some(known) = workspace.cache.get(bytes) {
            ids.extend_from_slice(known);
            return Ok(());
        }
        let start = ids.len();
        if let Some(id) = self.whole.get(bytes) {
            ids.push(*id);
        } else {
            for byte in bytes {
                let id = self.bytes[usize::from(*byte)].ok_or_else(|| no_token_for(word, *byte))?;
                ids.push(id);
            }
            self.merges.apply(ids, start, &mut workspace.ranks);
        }
        workspace.cache.put(bytes, &ids[start..]);
        Ok(())
    }
}

/// The error for a word with a byte that no token stands for.
fn no_token_for(word: &str, byte: u8) -> Error {
    let has_it = |c: &char| c.encode_utf8(&mut [0; 4]).bytes().any(|other| other == byte);
    let c = word.chars().find(has_it).unwrap_or_default();
    Error::Tokenizer { path: None, reason: missing_byte(c, byte) }
}

/// What is wrong with a character that the vocabulary cannot spell.
pub(super) fn missing_byte(c: char, byte: u8) -> String {
    format!("cannot encode {c:?}: the vocabulary has no token for its byte 0x{byte:02X}")
}
