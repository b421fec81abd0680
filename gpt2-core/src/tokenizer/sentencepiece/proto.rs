//! The messages of a `spiece.model`, declared in Rust.
//!
//! Names, numbers, types and defaults are those of `sentencepiece_model.proto` (Google's SentencePiece 0.2). What is
//! not declared is skipped when it is read; a folder that is saved again gets the bytes it was read from.

use prost::{Enumeration, Message};

/// A whole model: vocabulary and how it was made.
#[derive(Clone, PartialEq, Message)]
pub(in crate::tokenizer) struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<SentencePiece>,
    #[prost(message, optional, tag = "2")]
    pub trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    pub normalizer_spec: Option<NormalizerSpec>,
    #[prost(message, optional, tag = "5")]
    pub denormalizer_spec: Option<NormalizerSpec>,
}

/// One token. Its id is its place.
#[derive(Clone, PartialEq, Message)]
pub(in crate::tokenizer) struct SentencePiece {
    #[prost(string, optional, tag = "1")]
    pub piece: Option<String>,
    /// Logarithm of its probability (unigram), or minus its rank (BPE).
    #[prost(float, optional, tag = "2")]
    pub score: Option<f32>,
    #[prost(enumeration = "PieceType", optional, tag = "3", default = "Normal")]
    pub r#type: Option<i32>,
}

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(in crate::tokenizer) enum PieceType {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// How a text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub(in crate::tokenizer) enum ModelType {
    Unigram = 1,
    Bpe = 2,
    Word = 3,
    Char = 4,
}

/// The options of training, a few of which matter to encoding.
#[derive(Clone, PartialEq, Message)]
pub(in crate::tokenizer) struct TrainerSpec {
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    #[prost(string, optional, tag = "2")]
    pub model_prefix: Option<String>,
    #[prost(enumeration = "ModelType", optional, tag = "3", default = "Unigram")]
    pub model_type: Option<i32>,
    #[prost(int32, optional, tag = "4", default = "8000")]
    pub vocab_size: Option<i32>,
    #[prost(string, repeated, tag = "5")]
    pub accept_language: Vec<String>,
    #[prost(int32, optional, tag = "6", default = "0")]
    pub self_test_sample_size: Option<i32>,
    #[prost(string, optional, tag = "7")]
    pub input_format: Option<String>,
    #[prost(float, optional, tag = "10", default = "0.9995")]
    pub character_coverage: Option<f32>,
    #[prost(uint64, optional, tag = "11", default = "0")]
    pub input_sentence_size: Option<u64>,
    #[prost(int32, optional, tag = "14", default = "1000000")]
    pub seed_sentencepiece_size: Option<i32>,
    #[prost(float, optional, tag = "15", default = "0.75")]
    pub shrinking_factor: Option<f32>,
    #[prost(int32, optional, tag = "16", default = "16")]
    pub num_threads: Option<i32>,
    #[prost(int32, optional, tag = "17", default = "2")]
    pub num_sub_iterations: Option<i32>,
    #[prost(int32, optional, tag = "18", default = "4192")]
    pub max_sentence_length: Option<i32>,
    #[prost(bool, optional, tag = "19", default = "true")]
    pub shuffle_input_sentence: Option<bool>,
    #[prost(int32, optional, tag = "20", default = "16")]
    pub max_sentencepiece_length: Option<i32>,
    #[prost(bool, optional, tag = "21", default = "true")]
    pub split_by_unicode_script: Option<bool>,
    #[prost(bool, optional, tag = "22", default = "true")]
    pub split_by_whitespace: Option<bool>,
    #[prost(bool, optional, tag = "23", default = "true")]
    pub split_by_number: Option<bool>,
    /// The mark of a space stands at the end of a word instead of its beginning.
    #[prost(bool, optional, tag = "24", default = "false")]
    pub treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "25", default = "false")]
    pub split_digits: Option<bool>,
    #[prost(bool, optional, tag = "26", default = "false")]
    pub allow_whitespace_only_pieces: Option<bool>,
    #[prost(string, repeated, tag = "30")]
    pub control_symbols: Vec<String>,
    #[prost(string, repeated, tag = "31")]
    pub user_defined_symbols: Vec<String>,
    #[prost(bool, optional, tag = "32", default = "true")]
    pub vocabulary_output_piece_score: Option<bool>,
    #[prost(bool, optional, tag = "33", default = "true")]
    pub hard_vocab_limit: Option<bool>,
    #[prost(bool, optional, tag = "34", default = "false")]
    pub use_all_vocab: Option<bool>,
    /// Characters that no piece expresses become the pieces of their bytes.
    #[prost(bool, optional, tag = "35", default = "false")]
    pub byte_fallback: Option<bool>,
    #[prost(string, optional, tag = "36")]
    pub required_chars: Option<String>,
    #[prost(int32, optional, tag = "40", default = "0")]
    pub unk_id: Option<i32>,
    #[prost(int32, optional, tag = "41", default = "1")]
    pub bos_id: Option<i32>,
    #[prost(int32, optional, tag = "42", default = "2")]
    pub eos_id: Option<i32>,
    #[prost(int32, optional, tag = "43", default = "-1")]
    pub pad_id: Option<i32>,
    /// What an unknown token is decoded to.
    #[prost(string, optional, tag = "44", default = " \u{2047} ")]
    pub unk_surface: Option<String>,
    #[prost(string, optional, tag = "45", default = "<unk>")]
    pub unk_piece: Option<String>,
    #[prost(string, optional, tag = "46", default = "<s>")]
    pub bos_piece: Option<String>,
    #[prost(string, optional, tag = "47", default = "</s>")]
    pub eos_piece: Option<String>,
    #[prost(string, optional, tag = "48", default = "<pad>")]
    pub pad_piece: Option<String>,
    #[prost(bool, optional, tag = "49", default = "false")]
    pub train_extremely_large_corpus: Option<bool>,
}

/// What happens to a text before it is cut, or after it is put together.
#[derive(Clone, PartialEq, Message)]
pub(in crate::tokenizer) struct NormalizerSpec {
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// A double-array trie of what is replaced, and the replacements.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3", default = "true")]
    pub add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4", default = "true")]
    pub remove_extra_whitespaces: Option<bool>,
    /// Spaces become U+2581.
    #[prost(bool, optional, tag = "5", default = "true")]
    pub escape_whitespaces: Option<bool>,
    #[prost(string, optional, tag = "6")]
    pub normalization_rule_tsv: Option<String>,
}
