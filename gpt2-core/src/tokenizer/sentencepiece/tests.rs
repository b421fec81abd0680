//! Claims about SentencePiece models, the same for our encoder and, with feature `sentencepiece`, for Google's library.
//! What is expected was written by that library, see `tests/fixtures/sentencepiece/make.py`.

mod hostile;

use serde_json::Value;

use super::super::{Encoding, Tokenizer, TokenizerKind};

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../../tests/fixtures/sentencepiece/", $name, ".model")).as_slice())),*]
    };
}

const MODELS: [(&str, &[u8]); 13] = fixtures![
    "bpe",
    "bpe_bytes",
    "bpe_symbols",
    "bpe_ties",
    "bpe_unused",
    "char",
    "unigram",
    "unigram_bytes",
    "unigram_denormalizer",
    "unigram_suffix",
    "unigram_symbols",
    "unigram_ties",
    "word",
];
const EXPECTED: &str = include_str!("../../../tests/fixtures/sentencepiece/expected.json");
const SYMBOLS: &str = "unigram_symbols";
const HUGGING_FACE: [(&str, &str); 2] = [
    (
        "tokenizer_config.json",
        include_str!("../../../tests/fixtures/sentencepiece/hugging_face/tokenizer_config.json"),
    ),
    (
        "added_tokens.json",
        include_str!("../../../tests/fixtures/sentencepiece/hugging_face/added_tokens.json"),
    ),
];

fn expected() -> Value {
    serde_json::from_str(EXPECTED).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn bytes_of(name: &str) -> &'static [u8] {
    MODELS.iter().find(|(other, _)| *other == name).unwrap().1
}

fn folder(model: &[u8], files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spiece.model"), model).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// A tokenizer of a model and the files beside it.
pub(in crate::tokenizer) fn load(model: &[u8], files: &[(&str, &str)]) -> Tokenizer {
    Tokenizer::from_folder(folder(model, files).path()).unwrap()
}

/// The model with symbols of the user, as Hugging Face's `BertGenerationTokenizer`.
pub(in crate::tokenizer) fn hugging_face() -> Tokenizer {
    load(bytes_of(SYMBOLS), &HUGGING_FACE)
}

fn refusal(model: &[u8], files: &[(&str, &str)]) -> String {
    Tokenizer::from_folder(folder(model, files).path()).unwrap_err().to_string()
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip: bool) -> String {
    let mut stream = tokenizer.decode_stream(skip);
    let mut text: String = ids.iter().filter_map(|id| stream.push(*id).unwrap()).collect();
    text.extend(stream.finish().unwrap());
    text
}

#[test]
fn ids_offsets_and_text_of_every_model_are_googles() {
    let expected = expected();
    for (name, model) in MODELS {
        let tokenizer = load(model, &[]);
        let of_model = &expected["models"][name];
        let strings = expected["strings"].as_array().unwrap();
        for (text, row) in strings.iter().zip(of_model["rows"].as_array().unwrap()) {
            let text = text.as_str().unwrap();
            let (wanted, flat) = (ids(&row[0]), ids(&row[1]));
            let offsets = flat.as_chunks::<2>().0.iter();
            let offsets = offsets.map(|&[from, to]| (from as usize, to as usize)).collect();
            let found = tokenizer.encode(text).unwrap();
            assert_eq!(found, Encoding { ids: wanted.clone(), offsets }, "{name} {text:?}");
            assert_eq!(tokenizer.encode_ids(text).unwrap(), wanted, "{name} {text:?}");
            assert_eq!(tokenizer.decode(&wanted, false).unwrap(), row[2], "{name} {text:?}");
        }
        for row in of_model["decode"].as_array().unwrap() {
            let ids = ids(&row[0]);
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), row[1], "{name} {ids:?}");
        }
    }
}

#[test]
fn size_and_roles_are_what_the_file_says() {
    let expected = expected();
    for (name, model) in MODELS {
        let tokenizer = load(model, &[]);
        let of_model = &expected["models"][name];
        assert_eq!(tokenizer.vocab_size() as u64, of_model["size"].as_u64().unwrap(), "{name}");
        assert_eq!(tokenizer.max_id() as usize + 1, tokenizer.vocab_size(), "{name}");
        assert_eq!(tokenizer.kind(), TokenizerKind::SentencePiece);
        let roles = [tokenizer.bos_token_id(), tokenizer.eos_token_id(), tokenizer.pad_token_id()];
        let roles = roles.map(|id| id.map_or(-1, i64::from));
        let wanted: Vec<i64> = serde_json::from_value(of_model["roles"].clone()).unwrap();
        assert_eq!(roles, wanted[1..], "{name}");
    }
}

#[test]
fn a_stream_of_any_ids_makes_up_the_whole() {
    let expected = expected();
    let of_files = hugging_face();
    for (name, model) in MODELS {
        let tokenizer = load(model, &[]);
        for row in expected["models"][name]["decode"].as_array().unwrap() {
            let ids = ids(&row[0]);
            for tokenizer in [&tokenizer, &of_files] {
                for skip in [false, true] {
                    let whole = tokenizer.decode(&ids, skip).unwrap();
                    assert_eq!(streamed(tokenizer, &ids, skip), whole, "{name} {ids:?} {skip}");
                }
            }
        }
    }
}

#[test]
fn a_folder_of_hugging_face_gives_the_ids_and_text_of_transformers() {
    let tokenizer = hugging_face();
    for row in expected()["hugging_face"].as_array().unwrap() {
        let (text, wanted) = (row[0].as_str().unwrap(), ids(&row[1]));
        let found = tokenizer.encode(text).unwrap();
        assert_eq!(found.ids, wanted, "{text:?}");
        assert_eq!(found.offsets.len(), wanted.len(), "{text:?}");
        for (skip, decoded) in [(false, &row[2]), (true, &row[3])] {
            assert_eq!(tokenizer.decode(&wanted, skip).unwrap(), *decoded, "{text:?} {skip}");
        }
    }
}

#[test]
fn special_tokens_are_found_at_their_place_in_the_text() {
    let tokenizer = hugging_face();
    let encoding = tokenizer.encode("語</s>é <more>").unwrap();
    let [eos, more] = ["</s>", "<more>"].map(|token| tokenizer.token_to_id(token).unwrap());
    let place = |id| encoding.ids.iter().position(|other| *other == id).unwrap();
    assert_eq!(encoding.offsets[place(eos)], (1, 5));
    assert_eq!(encoding.offsets[place(more)], (7, 13));
    assert_eq!(tokenizer.eos_token_id(), Some(eos));
    assert_eq!((tokenizer.id_to_token(more).as_deref(), more), (Some("<more>"), 400));
    assert_eq!((tokenizer.max_id(), tokenizer.model_max_length()), (400, Some(64)));
}

#[test]
fn special_tokens_can_be_left_out() {
    let tokenizer = load(bytes_of(SYMBOLS), &[]);
    let ids = tokenizer.encode_ids("🙂Kucing").unwrap();
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), " \u{2047} Kucing");
    assert_eq!(tokenizer.decode(&[&[2], &ids[..], &[3, 3000]].concat(), true).unwrap(), "Kucing");
    assert!(ids.contains(&1) && tokenizer.special_ids().starts_with(&[0, 1, 2, 3]));
}

#[test]
fn a_continuation_begins_with_the_space_that_a_text_would_lose() {
    for tokenizer in [load(bytes_of(SYMBOLS), &[]), hugging_face()] {
        let [prompt, added] = ["Kucing", "tidur di"].map(|t| tokenizer.encode_ids(t).unwrap());
        assert_eq!(tokenizer.decode(&added, true).unwrap(), "tidur di");
        let continued = tokenizer.decode_continuation(&prompt, &added, true).unwrap();
        assert_eq!(continued, " tidur di");
        assert_eq!(tokenizer.decode_continuation(&[], &added, true).unwrap(), "tidur di");
        assert_eq!(tokenizer.decode_continuation(&[2], &added, true).unwrap(), "tidur di");
    }
}

#[test]
fn a_model_of_any_name_is_found_and_keeps_its_bytes() {
    for name in ["tokenizer.model", "spm.model", "japanese.model"] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), bytes_of("bpe")).unwrap();
        let tokenizer = Tokenizer::from_folder(folder.path()).unwrap();
        let copy = tempfile::tempdir().unwrap();
        tokenizer.save(copy.path()).unwrap();
        let saved_as = if name == "japanese.model" { "spiece.model" } else { name };
        assert_eq!(std::fs::read(copy.path().join(saved_as)).unwrap(), bytes_of("bpe"));
        assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 1);
        let again = Tokenizer::from_folder(copy.path()).unwrap();
        assert_eq!(again.fingerprint(), tokenizer.fingerprint());
        let summary = Tokenizer::inspect(folder.path()).unwrap();
        assert_eq!((summary.kind.name(), summary.files), ("sentencepiece", vec![name.to_string()]));
    }
    let two = tempfile::tempdir().unwrap();
    for name in ["a.model", "b.model"] {
        std::fs::write(two.path().join(name), bytes_of("bpe")).unwrap();
    }
    let error = Tokenizer::from_folder(two.path()).unwrap_err().to_string();
    assert!(error.contains("2 files end in .model"), "{error}");
}

#[test]
fn a_saved_folder_of_hugging_face_is_the_same_tokenizer() {
    let (tokenizer, copy) = (hugging_face(), tempfile::tempdir().unwrap());
    tokenizer.save(copy.path()).unwrap();
    let again = Tokenizer::from_folder(copy.path()).unwrap();
    let text = "a<more>b</s> Kucing";
    assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    assert_eq!(again.fingerprint(), tokenizer.fingerprint());
    assert_ne!(again.fingerprint(), load(bytes_of(SYMBOLS), &[]).fingerprint());
    assert!(!again.encodes_in_parts());
}

#[test]
fn fingerprints_of_different_models_differ() {
    let mut prints: Vec<String> = MODELS.map(|(_, m)| load(m, &[]).fingerprint()).to_vec();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), MODELS.len());
}

#[test]
fn roles_come_from_the_class_and_from_the_files() {
    let t5 = r#"{"tokenizer_class":"T5TokenizerFast","extra_ids":3,"eos_token":"<c>"}"#;
    let tokenizer = load(bytes_of(SYMBOLS), &[("tokenizer_config.json", t5)]);
    let size = load(bytes_of(SYMBOLS), &[]).vocab_size() as u32;
    assert_eq!(tokenizer.bos_token_id(), None);
    assert_eq!(tokenizer.eos_token_id(), tokenizer.token_to_id("<c>"));
    assert_eq!(tokenizer.pad_token_id(), Some(0));
    assert_eq!(tokenizer.encode_ids("<extra_id_0><extra_id_2>").unwrap(), [size + 2, size]);
    assert_eq!(tokenizer.vocab_size() as u32, size + 3);

    let map = r#"{"bos_token":"<cls>"}"#;
    let tokenizer = load(bytes_of(SYMBOLS), &[("special_tokens_map.json", map)]);
    assert_eq!(tokenizer.bos_token_id(), tokenizer.token_to_id("<cls>"));
    assert_eq!(tokenizer.eos_token_id(), Some(3));
}

#[test]
fn albert_changes_a_text_and_knows_where_its_parts_come_from() {
    let config = r#"{"tokenizer_class":"AlbertTokenizer","unk_token":"<unk>"}"#;
    let albert = load(bytes_of("unigram"), &[("tokenizer_config.json", config)]);
    let plain = load(bytes_of("unigram"), &[]);
    let found = albert.encode("  KÚCING ``Něm ﬁ''").unwrap();
    assert_eq!(found.ids, plain.encode_ids("kucing \"nem fi\"").unwrap());
    assert_eq!(albert.encode_ids("  KÚCING ``Něm ﬁ''").unwrap(), found.ids);
    let (first, last) = (found.offsets[0], found.offsets[found.offsets.len() - 1]);
    assert_eq!((first.0, last.1), (2, 18));
    assert!(found.offsets.is_sorted());
    let config = r#"{"tokenizer_class":"XLNetTokenizer","keep_accents":true}"#;
    let xlnet = load(bytes_of("unigram"), &[("tokenizer_config.json", config)]);
    assert_eq!(xlnet.encode("Kúcing é").unwrap(), plain.encode("Kúcing é").unwrap());
    assert_ne!(albert.fingerprint(), xlnet.fingerprint());
    let config = r#"{"tokenizer_class":"AlbertTokenizer","do_lower_case":1}"#;
    let error = refusal(bytes_of("unigram"), &[("tokenizer_config.json", config)]);
    assert!(error.contains("`do_lower_case` is 1"), "{error}");
}

#[test]
fn a_class_with_ids_of_its_own_is_refused() {
    let config = r#"{"tokenizer_class":"CamembertTokenizer"}"#;
    let error = refusal(bytes_of("bpe"), &[("tokenizer_config.json", config)]);
    assert!(error.contains("CamembertTokenizer") && error.contains("T5Tokenizer"), "{error}");
    let config = r#"{"tokenizer_class":"T5Tokenizer","extra_ids":-1}"#;
    let error = refusal(bytes_of("bpe"), &[("tokenizer_config.json", config)]);
    assert!(error.contains("`extra_ids` is -1"), "{error}");
}

#[test]
fn flags_of_added_tokens_are_followed() {
    let config = r#"{"additional_special_tokens":[{"content":"<c>","lstrip":true,"rstrip":true},
        {"content":"<cls>","single_word":true}]}"#;
    let tokenizer = load(bytes_of("unigram_bytes"), &[("tokenizer_config.json", config)]);
    // Without these pieces nothing is cut.
    assert!(!tokenizer.special_ids().contains(&300));
    let tokenizer = load(bytes_of(SYMBOLS), &[("tokenizer_config.json", config)]);
    let [c, cls] = ["<c>", "<cls>"].map(|token| tokenizer.token_to_id(token).unwrap());
    let encoding = tokenizer.encode("a  <c>  b").unwrap();
    let at = encoding.ids.iter().position(|id| *id == c).unwrap();
    assert_eq!((encoding.offsets[at], encoding.offsets[at + 1].0), ((3, 6), 8));
    assert!(tokenizer.encode_ids("a <cls> b").unwrap().contains(&cls));
    assert!(!tokenizer.encode_ids("a<cls> b").unwrap().contains(&cls));
}

#[test]
fn a_long_line_without_spaces_takes_time_in_proportion() {
    let line = "台所の窓から小さな庭が見える。".repeat(20_000);
    for name in ["unigram", "bpe", "unigram_bytes", "bpe_unused"] {
        let tokenizer = load(bytes_of(name), &[]);
        // Quadratic work would not end within hours.
        assert!(tokenizer.encode_ids(&line).unwrap().len() > 10_000, "{name}");
    }
}

#[test]
fn a_tokenizer_json_of_the_same_model_changes_nothing() {
    let config = r#"{"tokenizer_class":"LlamaTokenizer"}"#;
    let json = r#"{"model":{"type":"BPE"}}"#;
    let files = [("tokenizer_config.json", config), ("tokenizer.json", json)];
    assert_eq!(load(bytes_of("bpe"), &files).kind(), TokenizerKind::SentencePiece);
    let place = folder(bytes_of("bpe"), &[("tokenizer.json", r#"{"model":{"type":"Unigram"}}"#)]);
    let kind = Tokenizer::from_folder(place.path()).unwrap().kind();
    assert_eq!(kind, TokenizerKind::SentencePiece);
}
