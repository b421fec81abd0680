//! From the bytes of a `spiece.model` to a model, refusing what Google's library refuses.

use std::collections::HashMap;

use prost::Message;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use xxhash_rust::xxh3::Xxh3;

use super::super::files::SourceFile;
use super::super::vocab::MAX_IDS;
use super::bpe::{Bpe, Words};
use super::model::{Algorithm, Model, NO_ID, RolePieces};
use super::normalizer::{Normalizer, Symbols};
use super::proto::{ModelProto, ModelType, PieceType, SentencePiece, TrainerSpec};
use super::trie::Trie;
use super::unigram::Unigram;
use crate::{Error, Result};

/// A piece is shorter than this, in bytes.
const MAX_PIECE: usize = 8000;
/// A piece that stands for nothing, in models that were converted from elsewhere.
const NUL: &str = "\0";

/// Reads and checks a model.
///
/// # Errors
/// [`Error::Format`] when the file is no SentencePiece model or could not be worked with.
pub(super) fn read(file: &SourceFile) -> Result<Model> {
    let refuse = |reason: String| Error::format(&file.path, "SentencePiece model", reason);
    if file.bytes.is_empty() {
        return Err(refuse("the file is empty".to_string()));
    }
    check_number_of_pieces(&file.bytes).map_err(refuse)?;
    let proto = ModelProto::decode(file.bytes.as_slice()).map_err(|e| refuse(e.to_string()))?;
    let pieces = Pieces::new(&proto).map_err(refuse)?;
    build(&proto, pieces).map_err(refuse)
}

/// Memory is reserved for every piece, so they are counted before.
fn check_number_of_pieces(mut bytes: &[u8]) -> Result<(), String> {
    let mut count = 0_u32;
    while !bytes.is_empty() {
        let (number, kind) = decode_key(&mut bytes).map_err(|e| e.to_string())?;
        skip_field(kind, number, &mut bytes, DecodeContext::default())
            .map_err(|e| e.to_string())?;
        count += u32::from(number == 1);
        if count > MAX_IDS {
            return Err(format!("more than {MAX_IDS} pieces"));
        }
    }
    Ok(())
}

/// The pieces, by id and by text.
struct Pieces<'p> {
    list: Vec<(&'p str, PieceType, f32)>,
    ids: HashMap<&'p str, u32>,
    unknown: Option<u32>,
    byte_ids: Option<Box<[u32; 256]>>,
}

impl<'p> Pieces<'p> {
    fn new(proto: &'p ModelProto) -> Result<Self, String> {
        let trainer = proto.trainer_spec.as_ref();
        let byte_fallback = trainer.is_some_and(TrainerSpec::byte_fallback);
        let is_bpe = model_type(proto)? == ModelType::Bpe;
        let mut pieces =
            Self { list: Vec::new(), ids: HashMap::new(), unknown: None, byte_ids: None };
        // Two pieces may be spelled alike if one is for text and one is not; the latter is found by that text.
        let mut reserved = HashMap::new();
        let mut byte_ids = Box::new([NO_ID; 256]);
        for (piece, id) in proto.pieces.iter().zip(0..) {
            let refuse = |reason: &str| format!("piece {id} {reason}");
            let (text, kind, score) = check_piece(piece, byte_fallback).map_err(|e| refuse(&e))?;
            pieces.list.push((text, kind, score));
            if text == NUL && kind == PieceType::Unused {
                continue;
            }
            let map = if is_bpe || is_for_text(kind) { &mut pieces.ids } else { &mut reserved };
            if let Some(other) = map.insert(text, id) {
                return Err(refuse(&format!("is {text:?}, as piece {other} is")));
            }
            match kind {
                PieceType::Unknown if pieces.unknown.replace(id).is_some() => {
                    return Err(refuse("is a second unknown token"));
                }
                PieceType::Byte => {
                    let byte = byte_of(text).filter(|_| byte_fallback);
                    let byte =
                        byte.ok_or_else(|| refuse(&format!("is {text:?}, which is no byte")))?;
                    byte_ids[usize::from(byte)] = id;
                }
                _ => {}
            }
        }
        pieces.ids.extend(reserved);
        if byte_fallback {
            if byte_ids.contains(&NO_ID) {
                return Err("`byte_fallback` is true, and not every byte has a piece".to_string());
            }
            pieces.byte_ids = Some(byte_ids);
        } else if pieces.unknown.is_none() {
            let count = pieces.list.len();
            return Err(format!("0 of {count} pieces are unknown tokens, expected one"));
        }
        Ok(pieces)
    }

    /// Pieces that a text may consist of, with their ids, sorted by their bytes.
    fn sorted(&self, is_wanted: impl Fn(PieceType) -> bool) -> Vec<(&'p [u8], u32)> {
        let mut sorted: Vec<_> = (self.list.iter().zip(0..))
            .filter(|((text, kind, _), _)| is_wanted(*kind) && *text != NUL)
            .map(|((text, ..), id)| (text.as_bytes(), id))
            .collect();
        sorted.sort_unstable();
        sorted
    }

    fn role(&self, text: &str, default: &str, kind: PieceType) -> Option<String> {
        let text = if text.is_empty() { default } else { text };
        let &id = self.ids.get(text)?;
        (self.list.get(id as usize)?.1 == kind).then(|| text.to_string())
    }
}

fn model_type(proto: &ModelProto) -> Result<ModelType, String> {
    match proto.trainer_spec.as_ref().and_then(|trainer| trainer.model_type) {
        None => Ok(ModelType::Unigram),
        Some(kind) => ModelType::try_from(kind)
            .map_err(|_| format!("`model_type` is {kind}, expected 1 to 4")),
    }
}

fn is_for_text(kind: PieceType) -> bool {
    matches!(kind, PieceType::Normal | PieceType::UserDefined | PieceType::Unused)
}

/// Text, type and score of a piece.
fn check_piece(
    piece: &SentencePiece,
    byte_fallback: bool,
) -> Result<(&str, PieceType, f32), String> {
    let (text, score) = (piece.piece(), piece.score());
    let mut kind = match piece.r#type {
        None => PieceType::Normal,
        Some(kind) => PieceType::try_from(kind).map_err(|_| format!("has the type {kind}"))?,
    };
    if text.is_empty() {
        return Err("has no text".to_string());
    }
    if text.len() >= MAX_PIECE {
        return Err(format!("has {} bytes, expected less than {MAX_PIECE}", text.len()));
    }
    if text == NUL && byte_fallback {
        kind = PieceType::Unused;
    }
    if text.contains('\0') && !(text == NUL && kind == PieceType::Unused) {
        return Err("has a zero byte".to_string());
    }
    if !score.is_finite() {
        return Err(format!("has the score {score}"));
    }
    Ok((text, kind, score))
}

/// The byte that a piece such as `<0x0A>` stands for.
pub(super) fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_upper = |c: u8| c.is_ascii_digit() || (b'A'..=b'F').contains(&c);
    let valid = digits.len() == 2 && digits.bytes().all(is_upper);
    u8::from_str_radix(digits, 16).ok().filter(|_| valid)
}

fn build(proto: &ModelProto, pieces: Pieces<'_>) -> Result<Model, String> {
    let no_spec = TrainerSpec::default();
    let trainer = proto.trainer_spec.as_ref().unwrap_or(&no_spec);
    let symbols = Symbols::new(&pieces.sorted(|kind| kind == PieceType::UserDefined));
    let suffix = trainer.treat_whitespace_as_suffix();
    let spec = proto.normalizer_spec.clone().unwrap_or_default();
    let normalizer = Normalizer::new(&spec, suffix, symbols.clone())?;
    let denormalizer = match &proto.denormalizer_spec {
        Some(spec) if !spec.precompiled_charsmap().is_empty() => {
            Some(Normalizer::new(spec, false, Symbols::default())?)
        }
        _ => None,
    };
    let role = |text: &str, default, kind| pieces.role(text, default, kind);
    Ok(Model {
        algorithm: algorithm(model_type(proto)?, &pieces, symbols)?,
        normalizer,
        denormalizer,
        unk_surface: trainer.unk_surface().to_string(),
        roles: RolePieces {
            bos: role(trainer.bos_piece(), "<s>", PieceType::Control),
            eos: role(trainer.eos_piece(), "</s>", PieceType::Control),
            unk: role(trainer.unk_piece(), "<unk>", PieceType::Unknown),
            pad: role(trainer.pad_piece(), "<pad>", PieceType::Control),
        },
        digest: digest(proto, trainer),
        ids: pieces.ids.iter().map(|(text, id)| (text.to_string(), *id)).collect(),
        pieces: pieces.list.iter().map(|(text, kind, _)| (text.to_string(), *kind)).collect(),
        byte_ids: pieces.byte_ids,
    })
}

fn algorithm(kind: ModelType, pieces: &Pieces<'_>, symbols: Symbols) -> Result<Algorithm, String> {
    let unknown = pieces.unknown.unwrap_or(NO_ID);
    let scores = || pieces.list.iter().map(|(_, _, score)| *score).collect::<Vec<_>>();
    // What is unused is not found, and so is unknown.
    let used = || Trie::new(&pieces.sorted(|kind| is_for_text(kind) && kind != PieceType::Unused));
    Ok(match kind {
        ModelType::Unigram => {
            if !pieces.list.iter().any(|(_, kind, _)| is_for_text(*kind)) {
                return Err("no piece is for text".to_string());
            }
            let mut scores = scores();
            for ((text, kind, _), score) in pieces.list.iter().zip(&mut scores) {
                if *kind == PieceType::UserDefined {
                    *score = Unigram::symbol_score(text.len());
                }
            }
            let normal = pieces.list.iter().filter(|(_, kind, _)| *kind == PieceType::Normal);
            let least = normal.map(|(_, _, score)| *score).fold(f32::MAX, f32::min);
            Algorithm::Unigram(Unigram { pieces: used(), scores, least, unknown })
        }
        ModelType::Bpe => {
            let of_kind = |wanted| {
                let list = pieces.list.iter().zip(0..);
                list.filter(move |((_, kind, _), _)| *kind == wanted).map(|(_, id)| id)
            };
            let unused: Vec<u32> = of_kind(PieceType::Unused).collect();
            let for_text = pieces.list.iter().filter(|(_, kind, _)| is_for_text(*kind));
            let words = match unused.is_empty() {
                true => Words::of(for_text.map(|(text, ..)| *text)),
                false => Words::No,
            };
            let pieces = Trie::new(&pieces.sorted(is_for_text));
            Algorithm::Bpe(Bpe { pieces, scores: scores(), unused, symbols, unknown, words })
        }
        ModelType::Word => Algorithm::Word { pieces: used(), unknown },
        ModelType::Char => Algorithm::Char { pieces: used(), symbols, unknown },
    })
}

/// A hash of what decides on ids: pieces, normalizer, and the options of training that matter afterwards.
fn digest(proto: &ModelProto, trainer: &TrainerSpec) -> u128 {
    let deciding = ModelProto {
        pieces: proto.pieces.clone(),
        trainer_spec: Some(TrainerSpec {
            model_type: trainer.model_type,
            byte_fallback: trainer.byte_fallback,
            treat_whitespace_as_suffix: trainer.treat_whitespace_as_suffix,
            ..TrainerSpec::default()
        }),
        normalizer_spec: proto.normalizer_spec.clone(),
        denormalizer_spec: None,
    };
    let mut hash = Xxh3::new();
    hash.update(&deciding.encode_to_vec());
    hash.digest128()
}
