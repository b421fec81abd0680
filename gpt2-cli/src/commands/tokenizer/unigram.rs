//! Options of `gpt2 tokenizer train --kind unigram`.

use clap::{Args, ValueEnum};
use gpt2_core::tokenizer::{Normalization, TrainUnigramOptions};

use crate::args::positive;

/// What is done to characters first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum NormalizationName {
    /// NFKC, invisible characters taken out
    NmtNfkc,
    /// NFKC
    Nfkc,
    /// Nothing
    Identity,
}

/// Options that only a unigram model has; names and defaults are those of SentencePiece's trainer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of unigram")]
pub struct UnigramArgs {
    /// Whether a text is taken as if it began with a space [default: true]
    #[arg(long, value_name = "BOOL")]
    add_dummy_prefix: Option<bool>,
    /// Share of the characters of the texts that is expressed; the rarest are unknown [default: 0.9995]
    #[arg(long, value_name = "X")]
    character_coverage: Option<f32>,
    /// Lines to learn from, drawn from all [default: all]
    #[arg(long, value_name = "N")]
    input_sentence_size: Option<u64>,
    /// Whether those lines are drawn; otherwise they are the first ones [default: true]
    #[arg(long, value_name = "BOOL")]
    shuffle_input_sentence: Option<bool>,
    /// Seed of the draw [default: 0]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Lines of more bytes are left out [default: 4192]
    #[arg(long, value_name = "N", value_parser = positive)]
    max_sentence_length: Option<usize>,
    /// The longest piece in characters [default: 16]
    #[arg(long, value_name = "N", value_parser = positive)]
    max_sentencepiece_length: Option<usize>,
    /// Frequent substrings to begin with [default: 1000000]
    #[arg(long, value_name = "N", value_parser = positive)]
    seed_sentencepiece_size: Option<usize>,
    /// What each round keeps of the pieces [default: 0.75]
    #[arg(long, value_name = "X")]
    shrinking_factor: Option<f64>,
    /// Steps of expectation maximization in a round [default: 2]
    #[arg(long, value_name = "N", value_parser = positive)]
    num_sub_iterations: Option<usize>,
    /// Whether no piece holds several scripts [default: true]
    #[arg(long, value_name = "BOOL")]
    split_by_unicode_script: Option<bool>,
    /// Whether no piece reaches over a space [default: true]
    #[arg(long, value_name = "BOOL")]
    split_by_whitespace: Option<bool>,
    /// Whether no piece holds digits and letters [default: true]
    #[arg(long, value_name = "BOOL")]
    split_by_number: Option<bool>,
    /// Whether each digit is a piece [default: false]
    #[arg(long, value_name = "BOOL")]
    split_digits: Option<bool>,
    /// Symbol that no text becomes, such as `<cls>`; may be given again
    #[arg(long = "control-symbol", value_name = "T")]
    control_symbols: Vec<String>,
    /// Symbol that is one piece wherever it stands; may be given again
    #[arg(long = "user-defined-symbol", value_name = "T")]
    user_defined_symbols: Vec<String>,
    /// Characters that are expressed however rare they are
    #[arg(long, value_name = "CHARS")]
    required_chars: Option<String>,
    /// Whether unknown characters become their bytes [default: false]
    #[arg(long, value_name = "BOOL")]
    byte_fallback: Option<bool>,
    /// Id of `<unk>` [default: 0]
    #[arg(long, value_name = "ID")]
    unk_id: Option<i32>,
    /// Id of `<s>`, -1 for none [default: 1]
    #[arg(long, value_name = "ID")]
    bos_id: Option<i32>,
    /// Id of `</s>`, -1 for none [default: 2]
    #[arg(long, value_name = "ID")]
    eos_id: Option<i32>,
    /// Id of `<pad>`, -1 for none [default: -1]
    #[arg(long, value_name = "ID")]
    pad_id: Option<i32>,
    /// What is done to characters first [default: nmt_nfkc]
    #[arg(long, value_enum, value_name = "NAME")]
    normalization: Option<NormalizationName>,
    /// Whether repeated spaces and those at both ends are taken away [default: true]
    #[arg(long, value_name = "BOOL")]
    remove_extra_whitespaces: Option<bool>,
}

impl UnigramArgs {
    /// The options with those of both kinds of tokenizer.
    pub fn options(
        &self,
        vocab_size: usize,
        special_tokens: &[String],
        hard_vocab_limit: Option<bool>,
        memory_limit: Option<u64>,
    ) -> TrainUnigramOptions {
        let default = TrainUnigramOptions::default();
        let symbols = special_tokens.iter().chain(&self.control_symbols);
        TrainUnigramOptions {
            vocab_size,
            hard_vocab_limit: hard_vocab_limit.unwrap_or(default.hard_vocab_limit),
            memory_limit,
            control_symbols: symbols.cloned().collect(),
            user_defined_symbols: self.user_defined_symbols.clone(),
            add_dummy_prefix: self.add_dummy_prefix.unwrap_or(default.add_dummy_prefix),
            character_coverage: self.character_coverage.unwrap_or(default.character_coverage),
            input_sentence_size: self.input_sentence_size.unwrap_or(default.input_sentence_size),
            shuffle_input_sentence: self
                .shuffle_input_sentence
                .unwrap_or(default.shuffle_input_sentence),
            seed: self.seed.unwrap_or(default.seed),
            max_sentence_length: self.max_sentence_length.unwrap_or(default.max_sentence_length),
            max_sentencepiece_length: self
                .max_sentencepiece_length
                .unwrap_or(default.max_sentencepiece_length),
            seed_sentencepiece_size: self
                .seed_sentencepiece_size
                .unwrap_or(default.seed_sentencepiece_size),
            shrinking_factor: self.shrinking_factor.unwrap_or(default.shrinking_factor),
            num_sub_iterations: self.num_sub_iterations.unwrap_or(default.num_sub_iterations),
            split_by_unicode_script: self
                .split_by_unicode_script
                .unwrap_or(default.split_by_unicode_script),
            split_by_whitespace: self.split_by_whitespace.unwrap_or(default.split_by_whitespace),
            split_by_number: self.split_by_number.unwrap_or(default.split_by_number),
            split_digits: self.split_digits.unwrap_or(default.split_digits),
            required_chars: self.required_chars.clone().unwrap_or(default.required_chars),
            byte_fallback: self.byte_fallback.unwrap_or(default.byte_fallback),
            unk_id: self.unk_id.unwrap_or(default.unk_id),
            bos_id: self.bos_id.unwrap_or(default.bos_id),
            eos_id: self.eos_id.unwrap_or(default.eos_id),
            pad_id: self.pad_id.unwrap_or(default.pad_id),
            normalization: self.normalization.map_or(default.normalization, |name| match name {
                NormalizationName::NmtNfkc => Normalization::NmtNfkc,
                NormalizationName::Nfkc => Normalization::Nfkc,
                NormalizationName::Identity => Normalization::Identity,
            }),
            remove_extra_whitespaces: self
                .remove_extra_whitespaces
                .unwrap_or(default.remove_extra_whitespaces),
        }
    }
}
