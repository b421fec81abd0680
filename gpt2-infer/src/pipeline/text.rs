//! What a pipeline returns: text, with the ids behind it.

use crate::Sequence;

/// A text that continues a prompt.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GeneratedText {
    /// The prompt as it was given, and the continuation, with the stop string that ended it: what
    /// Hugging Face's pipeline returns.
    pub text: String,
    /// The token ids, why the text ends, and its score.
    pub sequence: Sequence,
    /// Bytes of `text` that are the prompt.
    pub(super) prompt_bytes: usize,
}

impl GeneratedText {
    /// The text without the prompt: what Hugging Face's pipeline returns with
    /// `return_full_text=False`.
    #[must_use]
    pub fn continuation(&self) -> &str {
        self.text.get(self.prompt_bytes..).unwrap_or_default()
    }
}

/// A token that can come next, as text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NextWord {
    /// Its id.
    pub id: u32,
    /// Its text, with the space before it; U+FFFD where it is a part of a character.
    pub text: String,
    /// Its probability, of all tokens of the vocabulary.
    pub probability: f64,
}
