//! Byte-level BPE: the `tokenizers` crate for texts that are changed first, and a short way for all others. Besides this
//! module the trainer knows that crate, and what prepares a text for Albert.

use std::collections::HashMap;

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{self, NormalizerWrapper};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::tokenizer::pattern::Pattern;
use tokenizers::{
    AddedToken as CrateToken, PreTokenizedString, PreTokenizer, SplitDelimiterBehavior,
    TokenizerImpl,
};

use super::Encoding;
use super::bytes::char_of;
use super::encoder::{Encoder, missing_byte};
use super::json::{NormalForm, Pipeline};
use super::special::AddedToken;
use super::split::words;
use super::table::TokenTable;
use crate::{Error, Result};

/// The crate's pipeline with GPT-2's parts in their places.
type Inner = TokenizerImpl<BPE, NormalizerWrapper, Splitter, ByteLevel, ByteLevel>;

/// A byte-level BPE tokenizer.
pub(super) struct Bpe {
    inner: Inner,
    merges: Vec<(u32, u32)>,
    added: Vec<AddedToken>,
    table: TokenTable,
    unk_token: Option<String>,
    normalizers: Vec<NormalForm>,
    /// The short way, where nothing changes a text before it is divided.
    encoder: Option<Encoder>,
}

impl Bpe {
    /// Builds a tokenizer of a pipeline whose vocabulary holds every added token.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the crate refuses it.
    pub(super) fn new(pipeline: Pipeline) -> Result<Self> {
        let encoder = Encoder::new(&pipeline)?;
        let Pipeline { vocabulary, added, normalizers, .. } = pipeline;
        let ids = &vocabulary.ids;
        let id_of = |token: &String| ids.get(token).copied();
        let merges = vocabulary.merges.iter().filter_map(|(l, r)| Some((id_of(l)?, id_of(r)?)));
        let merges = merges.collect();
        let splitter = Splitter::new(
            pipeline.add_prefix_space,
            pipeline.one_word,
            if pipeline.unk_token.is_some() { Vec::new() } else { missing_bytes(ids) },
        );
        let mut model = BPE::builder()
            .vocab_and_merges(vocabulary.ids.into_iter().collect::<Vocab>(), vocabulary.merges)
            .fuse_unk(pipeline.fuse_unk)
            .ignore_merges(pipeline.ignore_merges);
        if let Some(token) = &pipeline.unk_token {
            model = model.unk_token(token.clone());
        }
        let mut inner = Inner::new(model.build().map_err(refusal)?);
        inner.with_pre_tokenizer(Some(splitter));
        inner.with_normalizer(normalizer(&normalizers)).map_err(refusal)?;
        inner.with_post_processor(
            pipeline.trim_offsets.map(|prefix| ByteLevel::new(prefix, true, true)),
        );
        inner.add_tokens(added.iter().map(crate_token)).map_err(refusal)?;
        let last = inner.get_vocab(true).into_values().max().unwrap_or(0);
        let special = added.iter().filter(|token| token.special).map(|token| token.id);
        let table = TokenTable::new(last, |id| inner.id_to_token(id), special);
        let unk_token = pipeline.unk_token;
        Ok(Self { inner, merges, added, table, unk_token, normalizers, encoder })
    }

    /// Ids with the characters that they stand for.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a character that the vocabulary cannot spell.
    pub(super) fn encode(&self, text: &str) -> Result<Encoding> {
        if let Some(encoder) = &self.encoder {
            return encoder.encode(text, &self.table);
        }
        let encoding = self.inner.encode_char_offsets(text, false).map_err(refusal)?;
        Ok(Encoding { ids: encoding.get_ids().to_vec(), offsets: encoding.get_offsets().to_vec() })
    }

    /// Ids alone.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a character that the vocabulary cannot spell.
    pub(super) fn encode_ids(&self, text: &str) -> Result<Vec<u32>> {
        if let Some(encoder) = &self.encoder {
            return encoder.encode_ids(text);
        }
        let encoding = self.inner.encode_fast(text, false).map_err(refusal)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Appends the bytes of a token, of which an id that is no token's has none.
    pub(super) fn append_bytes(&self, id: u32, skip_special_tokens: bool, bytes: &mut Vec<u8>) {
        if !(skip_special_tokens && self.is_special(id)) {
            bytes.extend_from_slice(self.table.bytes(id));
        }
    }

    /// The text of ids; bytes that are no UTF-8 become U+FFFD.
    pub(super) fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> String {
        let mut bytes = Vec::with_capacity(ids.len() * 4);
        for id in ids {
            self.append_bytes(*id, skip_special_tokens, &mut bytes);
        }
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
        }
    }

    fn is_special(&self, id: u32) -> bool {
        self.table.special().binary_search(&id).is_ok()
    }

    /// In ascending order.
    pub(super) fn special_ids(&self) -> &[u32] {
        self.table.special()
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    pub(super) fn max_id(&self) -> u32 {
        self.table.max_id()
    }

    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(super) fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Pairs of ids in the order in which they are merged.
    pub(super) fn merges(&self) -> &[(u32, u32)] {
        &self.merges
    }

    pub(super) fn added(&self) -> &[AddedToken] {
        &self.added
    }

    pub(super) fn unk_token(&self) -> Option<&str> {
        self.unk_token.as_deref()
    }

    pub(super) fn normalizers(&self) -> &[NormalForm] {
        &self.normalizers
    }

    /// `fuse_unk` and `ignore_merges`.
    pub(super) fn model_flags(&self) -> [bool; 2] {
        let model = self.inner.get_model();
        [model.fuse_unk, model.ignore_merges]
    }

    /// Whether the text between added tokens is one word.
    pub(super) fn one_word(&self) -> bool {
        self.inner.get_pre_tokenizer().is_some_and(|splitter| splitter.one_word)
    }

    pub(super) fn add_prefix_space(&self) -> bool {
        self.inner.get_pre_tokenizer().is_some_and(|splitter| splitter.add_prefix_space)
    }
}

/// The crate's errors are strings in boxes.
pub(super) fn refusal(error: tokenizers::Error) -> Error {
    Error::Tokenizer { path: None, reason: error.to_string() }
}

fn crate_token(token: &AddedToken) -> CrateToken {
    CrateToken::from(token.content.clone(), token.special)
        .single_word(token.single_word)
        .lstrip(token.lstrip)
        .rstrip(token.rstrip)
        .normalized(token.normalized)
}

fn normalizer(forms: &[NormalForm]) -> Option<NormalizerWrapper> {
    let one = |form: &NormalForm| match form {
        NormalForm::Nfc => NormalizerWrapper::NFC(normalizers::unicode::NFC),
        NormalForm::Nfd => NormalizerWrapper::NFD(normalizers::unicode::NFD),
        NormalForm::Nfkc => NormalizerWrapper::NFKC(normalizers::unicode::NFKC),
        NormalForm::Nfkd => NormalizerWrapper::NFKD(normalizers::unicode::NFKD),
        NormalForm::Lowercase => NormalizerWrapper::Lowercase(normalizers::utils::Lowercase),
    };
    match forms {
        [] => None,
        [form] => Some(one(form)),
        _ => {
            let forms = forms.iter().map(one).collect();
            Some(NormalizerWrapper::Sequence(normalizers::utils::Sequence::new(forms)))
        }
    }
}

/// Bytes without a token of their own, in ascending order.
fn missing_bytes(ids: &HashMap<String, u32>) -> Vec<u8> {
    (0..=255).filter(|byte| !ids.contains_key(&char_of(*byte).to_string())).collect()
}

/// The step from text to words in the printable alphabet, in the place of the crate's own. The crate's divides with
/// a backtracking pattern, and its model leaves out what it cannot spell without a word.
#[derive(Debug, Clone)]
pub(super) struct Splitter {
    add_prefix_space: bool,
    one_word: bool,
    missing: Vec<u8>,
}

impl Splitter {
    pub(super) fn new(add_prefix_space: bool, one_word: bool, missing: Vec<u8>) -> Self {
        Self { add_prefix_space, one_word, missing }
    }

    /// Refuses text with bytes that no token stands for.
    fn check(&self, text: &str) -> Result<(), tokenizers::Error> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; 4];
        for c in text.chars() {
            let mut bytes = c.encode_utf8(&mut buffer).bytes();
            if let Some(byte) = bytes.find(|byte| self.missing.binary_search(byte).is_ok()) {
                return Err(missing_byte(c, byte).into());
            }
        }
        Ok(())
    }
}

impl PreTokenizer for Splitter {
    fn pre_tokenize(&self, text: &mut PreTokenizedString) -> Result<(), tokenizers::Error> {
        text.split(|_, mut piece| {
            if self.add_prefix_space && !piece.get().starts_with(' ') {
                piece.prepend(" ");
            }
            self.check(piece.get())?;
            if self.one_word {
                Ok(vec![piece])
            } else {
                piece.split(WordPattern, SplitDelimiterBehavior::Isolated)
            }
        })?;
        // The spelling in the printable alphabet, which keeps track of the offsets.
        ByteLevel::new(false, true, false).pre_tokenize(text)
    }
}

/// [`words`] in the crate's terms.
struct WordPattern;

impl Pattern for WordPattern {
    fn find_matches(&self, text: &str) -> Result<Vec<((usize, usize), bool)>, tokenizers::Error> {
        if text.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let mut start = 0;
        let places = words(text).map(|word| {
            let end = start + word.len();
            let place = ((start, end), true);
            start = end;
            place
        });
        Ok(places.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;
    use crate::tokenizer::vocab::Vocabulary;

    /// All bytes, three merges, an end token behind them.
    fn small(change: impl FnOnce(&mut Pipeline)) -> Bpe {
        let mut tokens: Vec<String> = (0..=255).map(|byte| char_of(byte).to_string()).collect();
        tokens.extend(["he", "ll", "hell", "<e>"].map(String::from));
        let ids = tokens.into_iter().zip(0..).collect();
        let merges = [("h", "e"), ("l", "l"), ("he", "ll")];
        let merges = merges.map(|(l, r)| (l.to_string(), r.to_string())).to_vec();
        let mut pipeline = json::Pipeline {
            vocabulary: Vocabulary { ids, merges },
            added: vec![AddedToken::plain("<e>", 259, true)],
            ..Default::default()
        };
        change(&mut pipeline);
        Bpe::new(pipeline).unwrap()
    }

    const TEXTS: [&str; 8] = [
        "",
        " ",
        "hello hello",
        "a<e>b  <e>",
        "é日本語\u{1F600}",
        "  hello\n\n hell",
        "<e",
        "'s it's",
    ];

    #[test]
    fn merges_apply_in_their_order() {
        let bpe = small(|_| ());
        assert_eq!(bpe.encode("hello").unwrap().ids, [258, u32::from(b'o')]);
        assert_eq!(bpe.encode("<e>").unwrap().ids, [259]);
    }

    #[test]
    fn offsets_count_characters_and_cover_a_split_character_whole() {
        let encoding = small(|_| ()).encode("é!").unwrap();
        assert_eq!(encoding.offsets, [(0, 1), (0, 1), (1, 2)]);
    }

    /// Every kind of pipeline that has the short way.
    fn variants() -> Vec<Bpe> {
        let added = |change: fn(&mut AddedToken)| {
            move |p: &mut Pipeline| {
                p.vocabulary.ids.extend([("<m>".to_string(), 260), ("<e>s".to_string(), 261)]);
                let mut token = AddedToken::plain("<m>", 260, false);
                change(&mut token);
                p.added.extend([token, AddedToken::plain("<e>s", 261, true)]);
            }
        };
        vec![
            small(|_| ()),
            small(|p| p.add_prefix_space = true),
            small(|p| p.one_word = true),
            small(|p| (p.one_word, p.add_prefix_space) = (true, true)),
            small(|p| p.trim_offsets = Some(true)),
            small(|p| (p.trim_offsets, p.add_prefix_space) = (Some(true), true)),
            small(|p| p.trim_offsets = Some(false)),
            small(|p| {
                let merges = [("Ġ", "Ġ"), ("o", "Ġ"), ("©", "l")].into_iter().zip(262..);
                for ((left, right), id) in merges {
                    p.vocabulary.ids.insert(format!("{left}{right}"), id);
                    p.vocabulary.merges.push((left.to_string(), right.to_string()));
                }
                (p.trim_offsets, p.one_word) = (Some(false), true);
            }),
            small(|p| {
                p.vocabulary.ids.insert("hello".to_string(), 260);
                p.ignore_merges = true;
            }),
            small(added(|_| ())),
            small(added(|token| (token.lstrip, token.rstrip) = (true, true))),
            small(added(|token| token.single_word = true)),
            small(added(|token| token.normalized = false)),
        ]
    }

    #[test]
    fn the_short_way_gives_the_ids_and_offsets_of_the_crate() {
        let parts = [
            "hello",
            "hell",
            "he",
            "o",
            " ",
            "  ",
            "\n",
            "\u{3000}",
            "é",
            "日本",
            "\u{1F600}",
            "<e>",
            "<m>",
            "<e>s",
            "s",
            "'s",
            "12",
            ".",
            "Ġ",
        ];
        let mut state = 11_u64;
        let mut draw = |below: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % below
        };
        let mut texts: Vec<String> = TEXTS.map(String::from).to_vec();
        for _ in 0..400 {
            texts.push((0..draw(12)).map(|_| parts[draw(parts.len())]).collect());
        }
        for (i, bpe) in variants().iter().enumerate() {
            assert!(bpe.encoder.is_some());
            for text in &texts {
                let theirs = bpe.inner.encode_char_offsets(text.as_str(), false).unwrap();
                let expected =
                    Encoding { ids: theirs.get_ids().into(), offsets: theirs.get_offsets().into() };
                assert_eq!(bpe.encode(text).unwrap(), expected, "variant {i}, {text:?}");
                assert_eq!(bpe.encode_ids(text).unwrap(), expected.ids, "variant {i}, {text:?}");
            }
        }
    }

    #[test]
    fn a_text_that_is_changed_first_goes_the_long_way() {
        let bpe = small(|p| p.normalizers = vec![NormalForm::Nfd, NormalForm::Lowercase]);
        assert!(bpe.encoder.is_none());
        for text in TEXTS {
            assert_eq!(bpe.encode_ids(text).unwrap(), bpe.encode(text).unwrap().ids, "{text:?}");
        }
        assert_eq!(bpe.encode("HELL").unwrap().ids, [258]);
    }

    #[test]
    fn the_table_decodes_as_the_crate_does() {
        let mut bpe = small(|_| ());
        bpe.inner.with_decoder(Some(ByteLevel::default()));
        let ids: Vec<u32> = (0..400).map(|i| i * 7919 % 262).collect();
        for skip in [false, true] {
            let kept = ids.iter().filter(|id| !skip || !bpe.is_special(**id));
            let bytes: Vec<u8> = kept.flat_map(|id| bpe.table.bytes(*id)).copied().collect();
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(text, bpe.inner.decode(&ids, skip).unwrap());
        }
    }

    #[test]
    fn a_missing_byte_is_an_error_and_not_a_gap() {
        let bpe = small(|p| {
            p.vocabulary.ids.remove("z");
        });
        for error in [bpe.encode("a z").unwrap_err(), bpe.encode_ids("a z").unwrap_err()] {
            assert!(error.to_string().contains("cannot encode 'z'"), "{error}");
        }
        assert_eq!(bpe.encode("a").unwrap().ids.len(), 1);
    }

    #[test]
    fn the_unknown_token_stands_for_a_missing_byte_where_there_is_one() {
        let bpe = small(|p| {
            p.vocabulary.ids.remove("z");
            p.unk_token = Some("<e>".to_string());
        });
        assert_eq!(bpe.encode("zz").unwrap().ids, [259, 259]);
        assert_eq!(bpe.encode_ids("zz").unwrap(), [259, 259]);
    }

    #[test]
    fn words_of_a_million_characters_are_encoded() {
        let bpe = small(|_| ());
        let spaces = format!("{}x", " ".repeat(1_200_000));
        assert_eq!(bpe.encode(&spaces).unwrap().ids.len(), 1_200_001);
        let word = "hell".repeat(300_000);
        assert_eq!(bpe.encode_ids(&word).unwrap(), vec![258; 300_000]);
    }
}
