//! What Albert's and XLNet's classes do to a text before the model's own normalizer.

use tokenizers::NormalizedString;
use tokenizers::Normalizer as _;
use tokenizers::normalizers::{Lowercase, NFKD, Replace, StripAccents};
use tokenizers::tokenizer::normalizer::Range;

use super::super::bpe::refusal;
use crate::Result;

/// Options of a class, as `tokenizer_config.json` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prepare {
    pub(super) do_lower_case: bool,
    pub(super) keep_accents: bool,
}

/// A changed text.
pub(super) struct Prepared(NormalizedString);

impl Prepare {
    /// Quotes of two characters become one, accents go, and letters become small: the parts of `transformers` in their
    /// order.
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`], should the crate refuse its own parts.
    pub(super) fn apply(self, text: &str) -> Result<Prepared> {
        let mut changed = NormalizedString::from(text);
        for quotes in ["``", "''"] {
            let replace = Replace::new(quotes, "\"").map_err(refusal)?;
            replace.normalize(&mut changed).map_err(refusal)?;
        }
        if !self.keep_accents {
            NFKD.normalize(&mut changed).map_err(refusal)?;
            StripAccents.normalize(&mut changed).map_err(refusal)?;
        }
        if self.do_lower_case {
            Lowercase.normalize(&mut changed).map_err(refusal)?;
        }
        Ok(Prepared(changed))
    }
}

impl Prepared {
    pub(super) fn text(&self) -> &str {
        self.0.get()
    }

    /// A part of the changed text as that part of the original which it comes from, in bytes.
    pub(super) fn origin(&self, (from, to): (usize, usize)) -> (usize, usize) {
        let origin = |part| self.0.convert_offsets(Range::Normalized(part));
        // A part without text is where the text behind it begins.
        let part = if from == to { from..from + 1 } else { from..to };
        match origin(part) {
            Some(range) if from < to => (range.start, range.end),
            Some(range) => (range.start, range.start),
            None => (self.0.get_original().len(), self.0.get_original().len()),
        }
    }
}
