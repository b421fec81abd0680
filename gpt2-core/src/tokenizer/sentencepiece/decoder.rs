//! From ids to text, one id at a time.

use super::normalizer::{Normalized, SPACE};
use super::proto::PieceType;
use super::{SentencePiece, Style};

/// What decoding has to remember between ids.
///
/// Whatever is handed out is final: put together, it is the text of all ids.
#[derive(Debug, Clone, Default)]
pub(in crate::tokenizer) struct Decoder {
    /// Bytes of a character that is not complete.
    bytes: Vec<u8>,
    /// There has been text, or a first space that was left out.
    has_begun: bool,
    /// Text that may have to be left out or changed, by what follows it.
    held: String,
}

impl Decoder {
    /// Takes an id; appends the text that is certain now.
    pub(in crate::tokenizer) fn push(
        &mut self,
        tokenizer: &SentencePiece,
        id: u32,
        skip_special_tokens: bool,
        out: &mut String,
    ) {
        if skip_special_tokens && tokenizer.is_special(id) {
            return;
        }
        if let Some(byte) = tokenizer.byte(id) {
            self.bytes.push(byte);
            let text = self.take_characters(false);
            return self.emit(tokenizer, &text, out);
        }
        let Some(piece) = tokenizer.piece(id) else { return };
        let bytes = self.take_characters(true);
        self.emit(tokenizer, &bytes, out);
        match tokenizer.style {
            Style::Google => self.push_as_google(tokenizer, id, piece, out),
            Style::HuggingFace => {
                let is_added = tokenizer.is_added(id);
                let text = if is_added { piece.to_string() } else { piece.replace(SPACE, " ") };
                self.emit(tokenizer, &text, out);
            }
        }
    }

    /// Leaves out what waits: it belongs to text that somebody has already.
    pub(in crate::tokenizer) fn forget_held(&mut self) {
        self.bytes.clear();
        self.held.clear();
    }

    /// Appends the text that waited for more.
    pub(in crate::tokenizer) fn finish(mut self, tokenizer: &SentencePiece, out: &mut String) {
        let bytes = self.take_characters(true);
        self.emit(tokenizer, &bytes, out);
        if let (Style::Google, Some(denormalizer)) = (tokenizer.style, tokenizer.denormalizer()) {
            let mut text = Normalized::new(false);
            denormalizer.normalize(&self.held, &mut text);
            out.push_str(&String::from_utf8_lossy(&text.text));
        }
    }

    /// Control symbols have no text, and the text no space at its beginning if encoding puts or removes one there.
    fn push_as_google(
        &mut self,
        tokenizer: &SentencePiece,
        id: u32,
        piece: &str,
        out: &mut String,
    ) {
        let kind = tokenizer.model.kind(id);
        if kind == Some(PieceType::Control) {
            return;
        }
        let (strips, strips_all) = tokenizer.model.normalizer.strips_first_space();
        let stripped = piece.strip_prefix(SPACE).filter(|_| strips && !self.has_begun);
        if kind == Some(PieceType::Unknown) {
            self.emit(tokenizer, &tokenizer.model.unk_surface, out);
        } else {
            self.emit(tokenizer, &stripped.unwrap_or(piece).replace(SPACE, " "), out);
        }
        self.has_begun |= stripped.is_some() && !strips_all;
    }

    fn emit(&mut self, tokenizer: &SentencePiece, text: &str, out: &mut String) {
        match tokenizer.style {
            Style::Google => {
                self.has_begun |= !text.is_empty();
                // A denormalizer's rules may reach over any number of pieces.
                let out = if tokenizer.denormalizer().is_some() { &mut self.held } else { out };
                out.push_str(text);
            }
            Style::HuggingFace => {
                let text = if self.has_begun { text } else { text.trim_start_matches(is_space) };
                let visible = text.trim_end_matches(is_space);
                if !visible.is_empty() {
                    self.has_begun = true;
                    out.push_str(&std::mem::take(&mut self.held));
                    out.push_str(visible);
                }
                // White space at the end of the whole text is left out.
                self.held.push_str(&text[visible.len()..]);
            }
        }
    }

    /// Takes whole characters out of the bytes. A byte that can be part of none becomes U+FFFD, each by itself; with
    /// `all` those that could become part of one, too.
    fn take_characters(&mut self, all: bool) -> String {
        let mut text = String::new();
        let mut rest: &[u8] = &self.bytes;
        while !rest.is_empty() {
            let (valid, bad, is_cut) = match std::str::from_utf8(rest) {
                Ok(_) => (rest.len(), 0, false),
                Err(e) => (e.valid_up_to(), 1, e.error_len().is_none()),
            };
            text.push_str(&String::from_utf8_lossy(&rest[..valid]));
            rest = &rest[valid..];
            if is_cut && !all {
                break;
            }
            if bad > 0 {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &rest[bad..];
            }
        }
        self.bytes = rest.to_vec();
        text
    }
}

/// What Python's `str.strip` takes away.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&c)
}
