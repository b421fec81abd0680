//! Files that are no models, or models that could not be worked with.

use prost::Message;

use super::super::super::Tokenizer;
use super::super::super::vocab::MAX_IDS;
use super::super::proto::{
    ModelProto, NormalizerSpec, PieceType, SentencePiece as Piece, TrainerSpec,
};
use super::{MODELS, bytes_of, folder, load, refusal};

/// A model of three pieces.
fn small() -> ModelProto {
    let piece = |text: &str, kind: PieceType| Piece {
        piece: Some(text.to_string()),
        score: Some(-1.0),
        r#type: Some(kind as i32),
    };
    ModelProto {
        pieces: vec![
            piece("<unk>", PieceType::Unknown),
            piece("▁the", PieceType::Normal),
            piece("語", PieceType::Normal),
        ],
        ..ModelProto::default()
    }
}

/// What is said of [`small`] after a change.
fn refused(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = small();
    change(&mut model);
    let error = refusal(&model.encode_to_vec(), &[]);
    assert!(error.contains("spiece.model: malformed SentencePiece model"), "{error}");
    error
}

#[test]
fn a_model_without_specifications_has_the_defaults() {
    let tokenizer = load(&small().encode_to_vec(), &[]);
    assert_eq!(tokenizer.encode_ids("the語x").unwrap(), [1, 2, 0]);
    assert!(tokenizer.add_prefix_space());
}

#[test]
fn pieces_that_could_not_be_worked_with_are_refused() {
    type Change = fn(&mut ModelProto);
    let cases: [(&str, Change); 12] = [
        ("0 of 2 pieces are unknown", |m| drop(m.pieces.remove(0))),
        ("piece 1 is a second unknown", |m| m.pieces[1].r#type = Some(2)),
        ("piece 2 has no text", |m| m.pieces[2].piece = None),
        ("piece 2 is \"▁the\", as piece 1", |m| m.pieces[2].piece = Some("▁the".into())),
        ("piece 2 has the type 7", |m| m.pieces[2].r#type = Some(7)),
        ("piece 2 has a zero byte", |m| m.pieces[2].piece = Some("a\0".into())),
        ("piece 2 has the score NaN", |m| m.pieces[2].score = Some(f32::NAN)),
        ("piece 2 has the score -inf", |m| m.pieces[2].score = Some(f32::NEG_INFINITY)),
        ("piece 2 has 8000 bytes", |m| m.pieces[2].piece = Some("x".repeat(8000))),
        ("piece 2 is \"語\", which is no byte", |m| m.pieces[2].r#type = Some(6)),
        ("no piece is for text", |m| m.pieces.truncate(1)),
        ("`model_type` is 9", |m| {
            m.trainer_spec = Some(TrainerSpec { model_type: Some(9), ..TrainerSpec::default() });
        }),
    ];
    for (words, change) in cases {
        let error = refused(change);
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = refused(|m| {
        let spec = TrainerSpec { byte_fallback: Some(true), ..TrainerSpec::default() };
        m.trainer_spec = Some(spec);
    });
    assert!(error.contains("not every byte has a piece"), "{error}");
}

fn with_charsmap(model: &mut ModelProto, charsmap: Vec<u8>) {
    let spec = NormalizerSpec { precompiled_charsmap: Some(charsmap), ..NormalizerSpec::default() };
    model.normalizer_spec = Some(spec);
}

#[test]
fn a_charsmap_that_leads_nowhere_is_refused() {
    let trie = |size: u32| size.to_le_bytes().to_vec();
    let root = [&(1_u32 << 10).to_le_bytes()[..], &[0; 1020]].concat();
    for (words, charsmap) in [
        ("the charsmap is cut", vec![1, 2]),
        ("rules of 7 bytes", [trie(7), vec![0; 20]].concat()),
        ("rules of 1024 bytes in 20", [trie(1024), vec![0; 20]].concat()),
        ("rules of 4294967295 bytes", [trie(u32::MAX), vec![0; 2000]].concat()),
        ("are not UTF-8", [trie(1024), root.clone(), vec![0xFF, 0]].concat()),
        ("replacements of the charsmap are cut", [trie(1024), root.clone(), vec![b'a']].concat()),
        (
            "replaces with 4097 bytes",
            [trie(1024), root.clone(), vec![b'a'; 4097], vec![0]].concat(),
        ),
        ("no root", [trie(1024), vec![0; 1024], vec![0]].concat()),
        ("leads nowhere", [trie(1024), vec![0x55; 1024], vec![0]].concat()),
    ] {
        let error = refused(|model| with_charsmap(model, charsmap));
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// Opens what may be no model; if it is one, uses it.
fn survives(model: &[u8]) -> bool {
    let place = folder(model, &[]);
    let Ok(tokenizer) = Tokenizer::from_folder(place.path()) else { return false };
    for text in ["a", "Kucing  belang\u{3000}日本語 🙂\0é", "foobar▁<sep>½"] {
        let encoding = tokenizer.encode(text).unwrap();
        assert!(encoding.ids.iter().all(|id| *id <= tokenizer.max_id()));
        let characters = text.chars().count();
        assert!(encoding.offsets.iter().all(|(from, to)| from <= to && *to <= characters));
        tokenizer.decode(&encoding.ids, false).unwrap();
    }
    true
}

#[test]
fn a_cut_model_is_refused_or_is_a_smaller_one() {
    let model = bytes_of("bpe_bytes");
    for length in (0..model.len()).step_by(61) {
        survives(&model[..length]);
    }
    let of_small = small().encode_to_vec();
    assert!((1..of_small.len()).filter(|length| survives(&of_small[..*length])).count() <= 1);
}

#[test]
fn flipped_bits_and_noise_never_panic() {
    let mut state = 7_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut loaded = 0;
    for round in 0..600 {
        let (_, model) = MODELS[round % MODELS.len()];
        let mut bytes = model.to_vec();
        for _ in 0..1 + random(4) {
            let at = random(bytes.len());
            bytes[at] ^= 1 << random(8);
        }
        loaded += usize::from(survives(&bytes));
    }
    assert!(loaded > 50);
    for _ in 0..200 {
        let noise: Vec<u8> = (0..500).map(|_| random(256) as u8).collect();
        assert!(!survives(&noise));
    }
}

#[test]
fn lengths_beyond_the_file_are_refused_at_once() {
    for bytes in [
        &[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F][..],
        &[0x0A, 0x80, 0x80, 0x80, 0x80, 0x04, 0x0A],
        &[0x12, 0x06, 0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07],
        &[],
    ] {
        let error = refusal(bytes, &[]);
        assert!(error.contains("malformed SentencePiece model"), "{error}");
    }
}

#[test]
fn more_pieces_than_ids_are_refused_before_they_are_read() {
    let bytes = [0x0A, 0x00].repeat(MAX_IDS as usize + 1);
    assert!(refusal(&bytes, &[]).contains("more than 4194304 pieces"));
}
