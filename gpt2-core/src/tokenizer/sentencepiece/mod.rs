//! SentencePiece: models of Google's library, and Hugging Face's tokenizers on top of them.
//!
//! Ids, offsets and text of a model alone equal those of Google's library. With Hugging Face's files beside it, special
//! tokens are cut out of a text before the model sees it, and a text is put together as `transformers` does.

mod bpe;
mod charsmap;
mod class;
mod cut;
mod decoder;
#[cfg(feature = "sentencepiece")]
mod google;
mod model;
pub(in crate::tokenizer) mod normalizer;
mod prepare;
pub(in crate::tokenizer) mod proto;
mod read;
pub(in crate::tokenizer) mod trie;
mod unigram;

use std::collections::HashMap;

use self::class::Class;
use self::cut::{Cutter, Part};
use self::model::Model;
use self::normalizer::Normalizer;
use self::prepare::Prepare;
use self::proto::PieceType;
use super::Encoding;
use super::files::{ADDED_TOKENS, CONFIG, SPECIAL_TOKENS, SourceFile, SourceFiles};
use super::special::{AddedToken, Settings};
use crate::{Error, Result};

pub(super) use self::class::is_named as class_is_named;
pub(super) use self::decoder::Decoder;

/// A part of a normalized text: what it is, and where it ends. It begins where the part before it ends.
#[derive(Debug, Clone, Copy)]
struct Piece {
    id: u32,
    end: usize,
}

/// Whose rules put text together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Control symbols have no text, the unknown token has a sign of its own.
    Google,
    /// Tokens as they are spelled, without white space at either end.
    HuggingFace,
}

/// A SentencePiece tokenizer.
pub(super) struct SentencePiece {
    model: Model,
    #[cfg(feature = "sentencepiece")]
    google: google::Google,
    style: Style,
    prepare: Option<Prepare>,
    cutter: Cutter,
    /// Added tokens by id.
    added: HashMap<u32, AddedToken>,
    /// In ascending order.
    special: Vec<u32>,
    vocab_size: usize,
    max_id: u32,
}

impl SentencePiece {
    /// Reads a model, and what stands beside it.
    ///
    /// # Errors
    /// [`Error::Format`] for a malformed model, [`Error::Json`] and [`Error::Tokenizer`] for the other files.
    pub(super) fn load(file: &SourceFile, files: &SourceFiles) -> Result<(Self, Settings)> {
        let model = read::read(file)?;
        let class = Class::read(files)?;
        let settings = Settings::read(files, class.roles(&model.roles))?;
        let (mut style, mut added) = (Style::Google, Vec::new());
        let beside = [CONFIG, SPECIAL_TOKENS, ADDED_TOKENS];
        if beside.iter().any(|name| files.get(name).is_some()) {
            let mut ids = model.ids.clone();
            let extra = class.extra_tokens(model.pieces.len());
            style = Style::HuggingFace;
            added = settings.merge_into(&mut ids, extra).map_err(|reason| file.error(reason))?;
        }
        let is_special = |kind| matches!(kind, PieceType::Control | PieceType::Unknown);
        let of_model = model.pieces.iter().zip(0..).filter(|((_, kind), _)| is_special(*kind));
        let named = added.iter().filter(|token| token.special).map(|token| token.id);
        let mut special: Vec<u32> = of_model.map(|(_, id)| id).chain(named).collect();
        special.sort_unstable();
        special.dedup();
        let pieces = model.pieces.len();
        let beyond = added.iter().filter(|token| token.id as usize >= pieces);
        let last = added.iter().map(|token| token.id).max().unwrap_or(0);
        let tokenizer = Self {
            #[cfg(feature = "sentencepiece")]
            google: google::Google::new(file)?,
            vocab_size: pieces + beyond.count(),
            max_id: last.max(pieces.saturating_sub(1) as u32),
            cutter: Cutter::new(&added),
            added: added.into_iter().map(|token| (token.id, token)).collect(),
            model,
            style,
            prepare: class.prepare,
            special,
        };
        Ok((tokenizer, settings))
    }

    /// Ids with the characters that they stand for.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a text of 4 GiB or more.
    pub(super) fn encode(&self, text: &str) -> Result<Encoding> {
        let mut encoding = Encoding::default();
        self.encode_into(text, &mut encoding.ids, Some(&mut encoding.offsets))?;
        to_characters(text, &mut encoding.offsets);
        Ok(encoding)
    }

    /// Ids alone.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub(super) fn encode_ids(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::with_capacity(text.len() / 3);
        self.encode_into(text, &mut ids, None)?;
        Ok(ids)
    }

    fn encode_into(
        &self,
        text: &str,
        ids: &mut Vec<u32>,
        mut offsets: Option<&mut Vec<(usize, usize)>>,
    ) -> Result<()> {
        if u32::try_from(text.len()).is_err() {
            let reason = format!("a text of {} bytes, expected less than 4 GiB", text.len());
            return Err(Error::Tokenizer { path: None, reason });
        }
        self.cutter.cut(text, &mut |part| {
            match part {
                Part::Text(place) => {
                    let (start, part) = (place.start, &text[place]);
                    self.encode_text(part, start, ids, offsets.as_deref_mut())?;
                }
                Part::Token(id, place) => {
                    ids.push(id);
                    if let Some(offsets) = &mut offsets {
                        offsets.push((place.start, place.end));
                    }
                }
            }
            Ok(())
        })
    }

    fn encode_text(
        &self,
        text: &str,
        start: usize,
        ids: &mut Vec<u32>,
        offsets: Option<&mut Vec<(usize, usize)>>,
    ) -> Result<()> {
        let Some(prepare) = self.prepare else {
            return self.encode_by_model(text, start, ids, offsets);
        };
        let prepared = prepare.apply(text)?;
        let Some(offsets) = offsets else {
            return self.encode_by_model(prepared.text(), 0, ids, None);
        };
        let first = offsets.len();
        self.encode_by_model(prepared.text(), 0, ids, Some(offsets))?;
        for place in &mut offsets[first..] {
            let (from, to) = prepared.origin(*place);
            *place = (start + from, start + to);
        }
        Ok(())
    }

    fn encode_by_model(
        &self,
        text: &str,
        start: usize,
        ids: &mut Vec<u32>,
        offsets: Option<&mut Vec<(usize, usize)>>,
    ) -> Result<()> {
        // The binding of Google's library takes an empty answer for a failure.
        #[cfg(feature = "sentencepiece")]
        if !text.is_empty() {
            return self.google.encode(text, start, ids, offsets);
        }
        self.model.encode(text, start, ids, offsets);
        Ok(())
    }

    /// The text of ids.
    ///
    /// # Errors
    /// None but those of Google's library, where that does it.
    pub(super) fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        #[cfg(feature = "sentencepiece")]
        if self.style == Style::Google {
            let is_wanted = |id: &&u32| {
                self.piece(**id).is_some() && !(skip_special_tokens && self.is_special(**id))
            };
            let ids: Vec<u32> = ids.iter().filter(is_wanted).copied().collect();
            return self.google.decode(&ids);
        }
        let (mut decoder, mut text) = (Decoder::default(), String::new());
        for &id in ids {
            decoder.push(self, id, skip_special_tokens, &mut text);
        }
        decoder.finish(self, &mut text);
        Ok(text)
    }

    /// The text that ids add behind others.
    ///
    /// # Errors
    /// None; as [`decode`](Self::decode).
    pub(super) fn decode_continuation(
        &self,
        prompt: &[u32],
        ids: &[u32],
        skip_special_tokens: bool,
    ) -> Result<String> {
        let (mut decoder, mut text) = (Decoder::default(), String::new());
        for &id in prompt {
            decoder.push(self, id, skip_special_tokens, &mut text);
        }
        text.clear();
        decoder.forget_held();
        for &id in ids {
            decoder.push(self, id, skip_special_tokens, &mut text);
        }
        decoder.finish(self, &mut text);
        Ok(text)
    }

    pub(super) fn is_special(&self, id: u32) -> bool {
        self.special.binary_search(&id).is_ok()
    }

    /// In ascending order.
    pub(super) fn special_ids(&self) -> &[u32] {
        &self.special
    }

    fn is_added(&self, id: u32) -> bool {
        self.added.contains_key(&id)
    }

    /// The byte that a token stands for.
    fn byte(&self, id: u32) -> Option<u8> {
        let is_byte = self.model.kind(id) == Some(PieceType::Byte);
        self.model.piece(id).filter(|_| is_byte).and_then(read::byte_of)
    }

    fn denormalizer(&self) -> Option<&Normalizer> {
        self.model.denormalizer.as_ref()
    }

    /// A token as it is spelled.
    pub(super) fn piece(&self, id: u32) -> Option<&str> {
        let added = self.added.get(&id).map(|token| token.content.as_str());
        added.or_else(|| self.model.piece(id))
    }

    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.cutter.id_of(token).or_else(|| self.model.ids.get(token).copied())
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    pub(super) fn max_id(&self) -> u32 {
        self.max_id
    }

    pub(super) fn add_dummy_prefix(&self) -> bool {
        self.model.normalizer.add_dummy_prefix()
    }

    /// A hash of what is done to a text that has no added tokens.
    pub(super) fn digest(&self) -> u128 {
        match self.prepare {
            None => self.model.digest,
            Some(Prepare { do_lower_case, keep_accents }) => {
                self.model.digest ^ (4 | u128::from(do_lower_case) << 1 | u128::from(keep_accents))
            }
        }
    }

    /// Tokens that are cut out of a text, in the order of their ids.
    pub(super) fn added(&self) -> Vec<&AddedToken> {
        let mut added: Vec<_> = self.added.values().collect();
        added.sort_unstable_by_key(|token| token.id);
        added
    }
}

/// From bytes of a text to characters. Where an offset is inside a character, that is part of what is meant.
fn to_characters(text: &str, offsets: &mut [(usize, usize)]) {
    if text.is_ascii() {
        return;
    }
    let mut starts = Vec::with_capacity(text.len() + 1);
    let mut count = 0;
    for at in 0..=text.len() {
        starts.push(count);
        count += usize::from(at < text.len() && text.is_char_boundary(at));
    }
    for (from, to) in offsets {
        let is_inside = usize::from(!text.is_char_boundary(*from));
        *from = starts.get(*from).copied().unwrap_or(count) - is_inside;
        *to = starts.get(*to).copied().unwrap_or(count);
    }
}

#[cfg(test)]
pub(super) mod tests;
