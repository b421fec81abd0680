//! How a unigram vocabulary is learned.

use std::collections::{BTreeMap, HashSet};

use crate::tokenizer::sentencepiece::proto::PieceType;
use crate::tokenizer::train::check_memory;
use crate::tokenizer::vocab::MAX_IDS;
use crate::{Error, Result};

/// The character that Google's library writes for what is unknown; a sentence that has it is left out.
pub(super) const RESERVED: char = '\u{2585}';
/// The mark of a space.
pub(super) const SPACE: char = '\u{2581}';

/// What is done to the characters of a text before anything else; the names are Google's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Normalization {
    /// NFKC, with the changes of Google's machine translation: invisible characters go, rare kinds of space become
    /// spaces, and the full-width tilde stays.
    #[default]
    NmtNfkc,
    /// Unicode's normalization form KC.
    Nfkc,
    /// Nothing.
    Identity,
}

impl Normalization {
    /// The name: `nmt_nfkc`, `nfkc` or `identity`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NmtNfkc => "nmt_nfkc",
            Self::Nfkc => "nfkc",
            Self::Identity => "identity",
        }
    }
}

/// How a unigram vocabulary is learned. Names, meanings and defaults are those of SentencePiece's `TrainerSpec` and
/// `NormalizerSpec`.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainUnigramOptions {
    /// Tokens to learn, all symbols included.
    pub vocab_size: usize,
    /// Share of all characters of the corpus that the vocabulary can express; the rarest are unknown. 0.9995 suits
    /// languages of many characters, 1 those of few.
    pub character_coverage: f32,
    /// Sentences to learn from; 0 for all.
    pub input_sentence_size: u64,
    /// Whether those sentences are drawn from the whole corpus; otherwise they are its first ones.
    pub shuffle_input_sentence: bool,
    /// Sentences of more bytes are left out.
    pub max_sentence_length: usize,
    /// Frequent substrings to begin with.
    pub seed_sentencepiece_size: usize,
    /// What each round of pruning keeps.
    pub shrinking_factor: f64,
    /// Steps of expectation maximization in each round.
    pub num_sub_iterations: usize,
    /// The longest piece, in characters.
    pub max_sentencepiece_length: usize,
    /// Whether no piece holds characters of several scripts. Kana and Chinese characters are one script here.
    pub split_by_unicode_script: bool,
    /// Whether no piece reaches over a space.
    pub split_by_whitespace: bool,
    /// Whether no piece holds digits and letters.
    pub split_by_number: bool,
    /// Whether each digit is a piece of its own.
    pub split_digits: bool,
    /// Symbols that no text becomes, such as `<cls>`.
    pub control_symbols: Vec<String>,
    /// Symbols that are one piece wherever a text has them.
    pub user_defined_symbols: Vec<String>,
    /// Whether unknown characters become their bytes, 256 pieces of the vocabulary.
    pub byte_fallback: bool,
    /// Characters that the vocabulary expresses whether they are frequent or not.
    pub required_chars: String,
    /// Whether a corpus that yields fewer pieces than asked for is refused.
    pub hard_vocab_limit: bool,
    /// Id of `<unk>`.
    pub unk_id: i32,
    /// Id of `<s>`; -1 for none, here and below.
    pub bos_id: i32,
    /// Id of `</s>`.
    pub eos_id: i32,
    /// Id of `<pad>`.
    pub pad_id: i32,
    /// What is done to characters first.
    pub normalization: Normalization,
    /// Whether a text is taken as if it began with a space.
    pub add_dummy_prefix: bool,
    /// Whether spaces at both ends and repeated ones are taken away.
    pub remove_extra_whitespaces: bool,
    /// Seed of the draw of sentences.
    pub seed: u64,
    /// Bytes of memory that learning may need. Where the distinct words would need more, the rarest are forgotten.
    /// Without it no word is forgotten.
    pub memory_limit: Option<u64>,
}

impl Default for TrainUnigramOptions {
    fn default() -> Self {
        Self {
            vocab_size: 8000,
            character_coverage: 0.9995,
            input_sentence_size: 0,
            shuffle_input_sentence: true,
            max_sentence_length: 4192,
            seed_sentencepiece_size: 1_000_000,
            shrinking_factor: 0.75,
            num_sub_iterations: 2,
            max_sentencepiece_length: 16,
            split_by_unicode_script: true,
            split_by_whitespace: true,
            split_by_number: true,
            split_digits: false,
            control_symbols: Vec::new(),
            user_defined_symbols: Vec::new(),
            byte_fallback: false,
            required_chars: String::new(),
            hard_vocab_limit: true,
            unk_id: 0,
            bos_id: 1,
            eos_id: 2,
            pad_id: -1,
            normalization: Normalization::default(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            seed: 0,
            memory_limit: None,
        }
    }
}

/// A piece that is not learned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MetaPiece {
    pub text: String,
    pub kind: PieceType,
}

/// Such pieces by their ids.
pub(super) type MetaPieces = BTreeMap<usize, MetaPiece>;

pub(super) const UNK: &str = "<unk>";
pub(super) const BOS: &str = "<s>";
pub(super) const EOS: &str = "</s>";
pub(super) const PAD: &str = "<pad>";

impl TrainUnigramOptions {
    /// The sentences of a text: its lines, without those that are empty, longer than [`Self::max_sentence_length`], or have
    /// U+2585, which Google's library keeps for itself.
    pub fn sentences<'t>(&self, text: &'t str) -> impl Iterator<Item = &'t str> + use<'t> {
        let length = 1..=self.max_sentence_length;
        let is_taken = move |line: &&str| length.contains(&line.len()) && !line.contains(RESERVED);
        text.split('\n').filter(is_taken)
    }

    /// Whether sentences are drawn from the whole corpus, so that their number has to be known before.
    #[must_use]
    pub fn samples(&self) -> bool {
        self.input_sentence_size > 0 && self.shuffle_input_sentence
    }

    /// Checks what can be checked without a text.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the option that is out of range.
    pub fn check(&self) -> Result<()> {
        let range = |name, found: f64, good: bool, expected| match good {
            true => Ok(()),
            false => Err(Error::argument(name, found, expected)),
        };
        let coverage = f64::from(self.character_coverage);
        let is_share = coverage > 0.0 && coverage <= 1.0;
        range("character_coverage", coverage, is_share, "a number above 0, at most 1")?;
        let factor = self.shrinking_factor;
        range(
            "shrinking_factor",
            factor,
            factor > 0.0 && factor < 1.0,
            "a number between 0 and 1",
        )?;
        let count = |name, found: usize, good: std::ops::RangeInclusive<usize>| {
            let expected = format!("{} to {}", good.start(), good.end());
            match good.contains(&found) {
                true => Ok(()),
                false => Err(Error::argument(name, found, expected)),
            }
        };
        count("vocab_size", self.vocab_size, 1..=MAX_IDS as usize)?;
        count("max_sentence_length", self.max_sentence_length, 10..=1 << 30)?;
        count("max_sentencepiece_length", self.max_sentencepiece_length, 1..=512)?;
        count("num_sub_iterations", self.num_sub_iterations, 1..=10)?;
        count("seed_sentencepiece_size", self.seed_sentencepiece_size, 1..=10_000_000)?;
        check_memory(self.memory_limit)?;
        self.meta_pieces().map(|_| ())
    }

    /// The pieces that are not learned: the roles at the ids that are asked for, symbols and bytes at the first ids that
    /// are left.
    pub(super) fn meta_pieces(&self) -> Result<MetaPieces> {
        let mut pieces = self.roles()?;
        let mut next = 0;
        let mut place = |pieces: &mut MetaPieces, text: String, kind| {
            while pieces.contains_key(&next) {
                next += 1;
            }
            pieces.insert(next, MetaPiece { text, kind });
        };
        let mut seen = HashSet::new();
        let lists = [
            ("control_symbols", &self.control_symbols, PieceType::Control),
            ("user_defined_symbols", &self.user_defined_symbols, PieceType::UserDefined),
        ];
        for (name, symbols, kind) in lists {
            for symbol in symbols {
                if symbol.is_empty()
                    || symbol == UNK
                    || symbol.contains('\0')
                    || !seen.insert(symbol)
                {
                    let expected = "distinct symbols, none of them empty or `<unk>`";
                    return Err(Error::argument(name, format!("{symbols:?}"), expected));
                }
                match pieces.values_mut().find(|piece| piece.text == *symbol) {
                    // A role may be declared a symbol, which changes its kind and not its id.
                    Some(piece) => piece.kind = kind,
                    None => place(&mut pieces, symbol.clone(), kind),
                }
            }
        }
        if self.byte_fallback {
            for byte in 0..=255 {
                place(&mut pieces, format!("<0x{byte:02X}>"), PieceType::Byte);
            }
        }
        if pieces.len() >= self.vocab_size {
            let expected = format!("more than the {} symbols that are not learned", pieces.len());
            return Err(Error::argument("vocab_size", self.vocab_size, expected));
        }
        Ok(pieces)
    }

    fn roles(&self) -> Result<MetaPieces> {
        let mut pieces = MetaPieces::new();
        let roles = [
            ("unk_id", self.unk_id, UNK, PieceType::Unknown),
            ("bos_id", self.bos_id, BOS, PieceType::Control),
            ("eos_id", self.eos_id, EOS, PieceType::Control),
            ("pad_id", self.pad_id, PAD, PieceType::Control),
        ];
        for (name, id, text, kind) in roles {
            let refuse = |expected: String| Err(Error::argument(name, id, expected));
            let Ok(id) = usize::try_from(id) else {
                match id {
                    -1 if kind != PieceType::Unknown => continue,
                    _ => {
                        return refuse(format!(
                            "0 to {}, or -1 for none but `unk_id`",
                            self.vocab_size - 1
                        ));
                    }
                }
            };
            if id >= self.vocab_size {
                return refuse(format!("less than the `vocab_size` of {}", self.vocab_size));
            }
            if let Some(other) = pieces.get(&id) {
                return refuse(format!("another id than that of {}", other.text));
            }
            pieces.insert(id, MetaPiece { text: text.to_string(), kind });
        }
        Ok(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_take_the_ids_that_the_roles_leave() {
        let options = TrainUnigramOptions {
            pad_id: 0,
            unk_id: 1,
            bos_id: 2,
            eos_id: 4,
            control_symbols: vec!["<cls>".to_string(), "<s>".to_string()],
            user_defined_symbols: vec!["<sep>".to_string(), "</s>".to_string()],
            ..TrainUnigramOptions::default()
        };
        let pieces = options.meta_pieces().unwrap();
        let found: Vec<_> = pieces.iter().map(|(id, p)| (*id, p.text.as_str(), p.kind)).collect();
        assert_eq!(
            found,
            [
                (0, "<pad>", PieceType::Control),
                (1, "<unk>", PieceType::Unknown),
                (2, "<s>", PieceType::Control),
                (3, "<cls>", PieceType::Control),
                (4, "</s>", PieceType::UserDefined),
                (5, "<sep>", PieceType::UserDefined),
            ]
        );
    }

    #[test]
    fn impossible_options_are_refused_by_name() {
        let refused = |options: TrainUnigramOptions, words: &str| {
            let error = options.check().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        let default = TrainUnigramOptions::default;
        refused(
            TrainUnigramOptions { character_coverage: 0.0, ..default() },
            "`character_coverage`",
        );
        refused(
            TrainUnigramOptions { character_coverage: 1.5, ..default() },
            "`character_coverage`",
        );
        refused(
            TrainUnigramOptions { character_coverage: f32::NAN, ..default() },
            "`character_coverage`",
        );
        refused(TrainUnigramOptions { vocab_size: 0, ..default() }, "`vocab_size` is 0");
        refused(TrainUnigramOptions { vocab_size: 3, ..default() }, "more than the 3 symbols");
        refused(TrainUnigramOptions { unk_id: -1, ..default() }, "`unk_id` is -1");
        refused(TrainUnigramOptions { pad_id: -2, ..default() }, "`pad_id` is -2");
        refused(TrainUnigramOptions { pad_id: 8000, ..default() }, "`pad_id` is 8000");
        refused(TrainUnigramOptions { eos_id: 0, ..default() }, "another id than that of <unk>");
        refused(TrainUnigramOptions { memory_limit: Some(1), ..default() }, "`memory_limit` is 1");
        let symbols = |symbols: &[&str]| symbols.iter().map(|s| s.to_string()).collect();
        for bad in [&[""][..], &["<unk>"], &["a", "a"]] {
            refused(
                TrainUnigramOptions { control_symbols: symbols(bad), ..default() },
                "`control_symbols`",
            );
        }
        let (control_symbols, user_defined_symbols) = (symbols(&["a"]), symbols(&["a"]));
        refused(
            TrainUnigramOptions { control_symbols, user_defined_symbols, ..default() },
            "`user_defined_symbols`",
        );
    }
}
