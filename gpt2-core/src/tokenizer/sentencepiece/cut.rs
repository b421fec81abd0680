//! Added tokens, which are cut out of a text before the model sees it.

use std::collections::HashMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};

use super::super::special::AddedToken;
use crate::Result;

/// Finds added tokens in a text as `transformers`' slow tokenizers do: leftmost first, and the longest of those.
pub(super) struct Cutter {
    /// `None` where there is nothing to be found.
    finder: Option<AhoCorasick>,
    tokens: Vec<AddedToken>,
    ids: HashMap<String, u32>,
}

/// A part of a text, in bytes.
pub(super) enum Part {
    /// Text for the model.
    Text(Range<usize>),
    /// An added token and where it stands.
    Token(u32, Range<usize>),
}

impl Cutter {
    pub(super) fn new(tokens: &[AddedToken]) -> Self {
        let contents = tokens.iter().map(|token| &token.content);
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest);
        // Building fails for more tokens than ids can name, which were refused before.
        let finder = (!tokens.is_empty()).then(|| builder.build(contents).ok()).flatten();
        let ids = tokens.iter().map(|token| (token.content.clone(), token.id)).collect();
        Self { finder, tokens: tokens.to_vec(), ids }
    }

    pub(super) fn id_of(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Hands on the parts of a text that are not empty, in their order.
    ///
    /// # Errors
    /// Those of `take`.
    pub(super) fn cut(&self, text: &str, take: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
        let mut from = 0;
        let found = self.finder.iter().flat_map(|finder| finder.find_iter(text));
        for found in found {
            let place = found.range();
            let Some(token) = self.tokens.get(found.pattern().as_usize()) else { continue };
            let Some(before) = text.get(from..place.start) else { continue };
            if token.single_word && !stands_alone(text, &place) {
                continue;
            }
            let before = if token.lstrip { before.trim_end() } else { before };
            if !before.is_empty() {
                take(Part::Text(from..from + before.len()))?;
            }
            let after = &text[place.end..];
            let space = if token.rstrip { after.len() - after.trim_start().len() } else { 0 };
            from = place.end + space;
            take(Part::Token(token.id, place))?;
        }
        if from < text.len() {
            take(Part::Text(from..text.len()))?;
        }
        Ok(())
    }
}

/// Whether there is a space, or nothing, on both sides.
fn stands_alone(text: &str, place: &Range<usize>) -> bool {
    let (before, after) = (&text[..place.start], &text[place.end..]);
    let is_end = |side: &str| side.is_empty();
    (is_end(before) || before.ends_with(' ')) && (is_end(after) || after.starts_with(' '))
}
