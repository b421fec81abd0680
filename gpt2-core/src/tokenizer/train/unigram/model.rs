//! From learned pieces to the files of a model.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::options::{BOS, EOS, MetaPieces, PAD, TrainUnigramOptions, UNK};
use super::pieces::Piece;
use crate::tokenizer::sentencepiece::proto::{
    ModelProto, ModelType, NormalizerSpec, PieceType, SentencePiece, TrainerSpec,
};
use crate::{Error, Result};

/// How much more probable the next required character without a probability of its own is.
const STEP: f64 = 0.0001;

/// Pieces for text as the model has them, the most probable first: all required characters, and the most probable others
/// as long as there is room.
///
/// # Errors
/// [`Error::Tokenizer`] when there are too few of them and the options do not allow that.
pub(super) fn final_pieces(
    learned: Vec<Piece>,
    required: &[char],
    meta_pieces: &MetaPieces,
    options: &TrainUnigramOptions,
) -> Result<Vec<Piece>> {
    let room = options.vocab_size - meta_pieces.len();
    let least = learned.iter().map(|piece| piece.score).fold(0.0, f64::min);
    let scores: HashMap<&str, f64> = learned.iter().map(|p| (p.text.as_str(), p.score)).collect();
    let mut missing = 0;
    let mut chosen: Vec<Piece> = Vec::new();
    for text in required.iter().map(char::to_string) {
        let score = scores.get(text.as_str()).copied().unwrap_or_else(|| {
            missing += 1;
            least + STEP * f64::from(missing - 1)
        });
        chosen.push(Piece { text, score });
    }
    let have: HashSet<String> = chosen.iter().map(|piece| piece.text.clone()).collect();
    // A symbol is no piece for text as well.
    let symbols: HashSet<&str> = meta_pieces.values().map(|piece| piece.text.as_str()).collect();
    let mut others: Vec<Piece> = learned
        .into_iter()
        .filter(|piece| !have.contains(&piece.text) && !symbols.contains(piece.text.as_str()))
        .collect();
    others.sort_by(best_first);
    chosen.extend(others.into_iter().take(room.saturating_sub(required.len())));
    chosen.retain(|piece| !symbols.contains(piece.text.as_str()));
    if chosen.len() < room && options.hard_vocab_limit {
        let reason = format!(
            "the corpus is too small for a vocabulary of {}, expected a `vocab_size` of at most {}",
            options.vocab_size,
            chosen.len() + meta_pieces.len()
        );
        return Err(Error::Tokenizer { path: None, reason });
    }
    chosen.sort_by(best_first);
    Ok(chosen)
}

fn best_first(a: &Piece, b: &Piece) -> Ordering {
    b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text))
}

/// The model as a message.
pub(super) fn proto(
    pieces: Vec<Piece>,
    meta_pieces: &MetaPieces,
    options: &TrainUnigramOptions,
    charsmap: Vec<u8>,
) -> ModelProto {
    let total = pieces.len() + meta_pieces.len();
    let mut pieces = pieces.into_iter();
    let mut all = Vec::with_capacity(total);
    // With fewer pieces than asked for, symbols at ids beyond them move up.
    let mut beyond = meta_pieces.iter().filter(|&(&id, _)| id >= total).map(|(_, meta)| meta);
    for id in 0..total {
        let meta = meta_pieces.get(&id);
        let piece = match meta {
            None => pieces.next(),
            Some(_) => None,
        };
        all.push(match (piece, meta.or_else(|| beyond.next())) {
            (Some(piece), _) => SentencePiece {
                piece: Some(piece.text),
                score: Some(piece.score as f32),
                r#type: None,
            },
            (None, Some(meta)) => SentencePiece {
                piece: Some(meta.text.clone()),
                score: Some(0.0),
                r#type: Some(meta.kind as i32),
            },
            (None, None) => continue,
        });
    }
    ModelProto {
        trainer_spec: Some(trainer_spec(options, all.len())),
        pieces: all,
        normalizer_spec: Some(normalizer_spec(options, charsmap)),
        denormalizer_spec: Some(NormalizerSpec::default()),
    }
}

fn trainer_spec(options: &TrainUnigramOptions, pieces: usize) -> TrainerSpec {
    let number = |number: usize| i32::try_from(number).ok();
    TrainerSpec {
        model_type: Some(ModelType::Unigram as i32),
        vocab_size: number(pieces),
        character_coverage: Some(options.character_coverage),
        input_sentence_size: Some(options.input_sentence_size),
        shuffle_input_sentence: Some(options.shuffle_input_sentence),
        seed_sentencepiece_size: number(options.seed_sentencepiece_size),
        shrinking_factor: Some(options.shrinking_factor as f32),
        num_sub_iterations: number(options.num_sub_iterations),
        max_sentence_length: number(options.max_sentence_length),
        max_sentencepiece_length: number(options.max_sentencepiece_length),
        split_by_unicode_script: Some(options.split_by_unicode_script),
        split_by_whitespace: Some(options.split_by_whitespace),
        split_by_number: Some(options.split_by_number),
        split_digits: Some(options.split_digits),
        control_symbols: options.control_symbols.clone(),
        user_defined_symbols: options.user_defined_symbols.clone(),
        byte_fallback: Some(options.byte_fallback),
        required_chars: Some(options.required_chars.clone()),
        hard_vocab_limit: Some(options.hard_vocab_limit),
        unk_id: Some(options.unk_id),
        bos_id: Some(options.bos_id),
        eos_id: Some(options.eos_id),
        pad_id: Some(options.pad_id),
        unk_piece: Some(UNK.to_string()),
        bos_piece: Some(BOS.to_string()),
        eos_piece: Some(EOS.to_string()),
        pad_piece: Some(PAD.to_string()),
        ..TrainerSpec::default()
    }
}

/// What the charsmap and the options do to a text.
pub(super) fn normalizer_spec(options: &TrainUnigramOptions, charsmap: Vec<u8>) -> NormalizerSpec {
    NormalizerSpec {
        name: Some(options.normalization.name().to_string()),
        precompiled_charsmap: Some(charsmap),
        add_dummy_prefix: Some(options.add_dummy_prefix),
        remove_extra_whitespaces: Some(options.remove_extra_whitespaces),
        escape_whitespaces: Some(true),
        normalization_rule_tsv: None,
    }
}

/// `tokenizer_config.json`: the class that `transformers` reads such a model with, which adds no token to a text, and the
/// tokens that have a role.
pub(super) fn tokenizer_config(meta_pieces: &MetaPieces) -> Map<String, Value> {
    let is_there = |text: &str, kind| {
        meta_pieces.values().any(|piece| piece.text == text && piece.kind == kind)
    };
    let role = |text: &str, kind| match is_there(text, kind) {
        true => Value::from(text),
        // Null and not left out: a reader would put its own token there and give it a new id.
        false => Value::Null,
    };
    let control = PieceType::Control;
    let roles = [
        ("bos_token", role(BOS, control)),
        ("eos_token", role(EOS, control)),
        ("unk_token", role(UNK, PieceType::Unknown)),
        ("pad_token", role(PAD, control)),
        ("sep_token", role("<sep>", control)),
        ("cls_token", role("<cls>", control)),
    ];
    let class = ("tokenizer_class", Value::from("BertGenerationTokenizer"));
    [class].into_iter().chain(roles).map(|(key, value)| (key.to_string(), value)).collect()
}
