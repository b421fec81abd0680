//! The rules of `nmt_nfkc` and `nfkc` as a `precompiled_charsmap`.
//!
//! Made as the builder of Google's library makes them: every character with the NFKC of it, and every sequence of
//! characters that becomes a composed one, without the sequences that shorter rules lead to the same end. The tables of
//! Unicode are those of the `unicode-normalization` crate.

use std::collections::BTreeSet;

use hashbrown::HashMap;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick, is_nfkd_quick};

use super::darts::double_array;
use super::options::Normalization;
use crate::Result;

/// From a sequence of characters to what it becomes.
type Rules = HashMap<Vec<char>, Vec<char>>;

/// Becomes a space in `nmt_nfkc`.
const SPACES: [u32; 15] = [
    0x0009, 0x000A, 0x000C, 0x000D, 0x061C, 0x1680, 0x200B, 0x200C, 0x200E, 0x200F, 0x2028, 0x2029,
    0x2581, 0xFEFF, 0xFFFD,
];

/// Becomes nothing in `nmt_nfkc`: first and last of ranges.
const REMOVED: [(u32, u32); 6] =
    [(0x01, 0x08), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x7F), (0x8F, 0x8F), (0x9F, 0x9F)];

/// Stays as it is in `nmt_nfkc`: the full-width tilde, which Japanese does not take for the other one.
const KEPT: char = '\u{FF5E}';

/// The charsmap of a normalization: size of the trie as four bytes, trie, replacements with NUL behind each.
///
/// # Errors
/// [`crate::Error::Tokenizer`], if there are too many rules.
pub(super) fn charsmap(normalization: Normalization) -> Result<Vec<u8>> {
    let rules = match normalization {
        Normalization::Identity => return Ok(Vec::new()),
        Normalization::Nfkc => nfkc(),
        Normalization::NmtNfkc => nmt_nfkc(),
    };
    // By characters is by bytes in UTF-8, as a trie wants its keys.
    let mut rules: Vec<_> = rules.into_iter().collect();
    rules.sort_unstable();
    let mut replacements: Vec<u8> = Vec::new();
    let mut places: HashMap<&Vec<char>, u32> = HashMap::new();
    let mut keys: Vec<(String, u32)> = Vec::with_capacity(rules.len());
    for (from, to) in &rules {
        let place = *places.entry(to).or_insert_with(|| {
            let place = replacements.len() as u32;
            replacements.extend(to.iter().collect::<String>().bytes());
            replacements.push(0);
            place
        });
        keys.push((from.iter().collect(), place));
    }
    let trie = double_array(&keys)?;
    let size = (trie.len() as u32).to_le_bytes();
    Ok([size.as_slice(), &trie, &replacements].concat())
}

fn nmt_nfkc() -> Rules {
    let mut rules = nfkc();
    let mut set = |code: u32, to: &[char]| {
        rules.extend(char::from_u32(code).map(|c| (vec![c], to.to_vec())));
    };
    SPACES.into_iter().for_each(|code| set(code, &[' ']));
    REMOVED.into_iter().flat_map(|(first, last)| first..=last).for_each(|code| set(code, &[]));
    rules.remove([KEPT].as_slice());
    rules
}

fn nfkc() -> Rules {
    let mut rules = Rules::new();
    let mut decomposed: BTreeSet<Vec<char>> = BTreeSet::new();
    // What becomes one other character, by that character.
    let mut alike: HashMap<char, Vec<char>> = HashMap::new();
    for c in ('\u{1}'..=char::MAX).filter(|&c| is_character(c) && changes(c)) {
        let composed: Vec<char> = std::iter::once(c).nfkc().collect();
        if composed != [c] {
            rules.insert(vec![c], composed);
        }
        let apart: Vec<char> = std::iter::once(c).nfkd().collect();
        match apart.as_slice() {
            [one] if *one == c => {}
            [one] => alike.entry(*one).or_default().push(c),
            _ => {
                decomposed.insert(apart);
            }
        }
    }
    for apart in decomposed {
        let composed: Vec<char> = apart.iter().copied().nfc().collect();
        if composed != apart {
            for sequence in sequences(&apart, &alike).into_iter().filter(|s| *s != composed) {
                rules.insert(sequence, composed.clone());
            }
        }
    }
    without_redundant(rules)
}

/// Not one of the code points that are set aside for no character.
fn is_character(c: char) -> bool {
    let code = c as u32;
    code & 0xFFFE != 0xFFFE && !(0xFDD0..=0xFDEF).contains(&code)
}

/// Whether a character may be another in one of the forms: almost none is.
fn changes(c: char) -> bool {
    let is_form = |answer: IsNormalized| answer == IsNormalized::Yes;
    !(is_form(is_nfkc_quick(std::iter::once(c))) && is_form(is_nfkd_quick(std::iter::once(c))))
}

/// All sequences in which each character may be another that becomes it.
fn sequences(apart: &[char], alike: &HashMap<char, Vec<char>>) -> Vec<Vec<char>> {
    let mut sequences = vec![Vec::new()];
    for c in apart {
        let others = alike.get(c).map(Vec::as_slice).unwrap_or_default();
        let longer = |sequence: &Vec<char>| -> Vec<Vec<char>> {
            [&[*c], others].concat().iter().map(|&c| [sequence, &[c][..]].concat()).collect()
        };
        sequences = sequences.iter().flat_map(longer).collect();
    }
    sequences
}

/// Leaves rules out that shorter ones make superfluous.
fn without_redundant(rules: Rules) -> Rules {
    let longest = rules.keys().map(Vec::len).max().unwrap_or(0);
    let mut by_length: Vec<Vec<(Vec<char>, Vec<char>)>> = vec![Vec::new(); longest + 1];
    for (from, to) in rules {
        by_length[from.len()].push((from, to));
    }
    let mut kept = Rules::new();
    for (length, rules) in by_length.into_iter().enumerate() {
        let needed: Vec<_> = rules
            .into_iter()
            .filter(|(from, to)| length == 1 || normalized(from, &kept, length - 1) != *to)
            .collect();
        kept.extend(needed);
    }
    kept
}

/// What a sequence becomes by rules of at most `longest` characters, of which the longest that fits is taken.
fn normalized(text: &[char], rules: &Rules, longest: usize) -> Vec<char> {
    let (mut rest, mut out) = (text, Vec::new());
    while let [first, behind @ ..] = rest {
        let fits = |length: &usize| rules.contains_key(&rest[..*length]);
        match (1..=longest.min(rest.len())).rev().find(fits) {
            Some(length) => {
                out.extend(&rules[&rest[..length]]);
                rest = &rest[length..];
            }
            None => {
                out.push(*first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::sentencepiece::normalizer::{Normalized, Normalizer, Symbols};
    use crate::tokenizer::sentencepiece::proto::NormalizerSpec;

    fn normalizer(normalization: Normalization) -> impl Fn(&str) -> String {
        let spec = NormalizerSpec {
            precompiled_charsmap: Some(charsmap(normalization).unwrap()),
            add_dummy_prefix: Some(false),
            remove_extra_whitespaces: Some(false),
            escape_whitespaces: Some(false),
            ..NormalizerSpec::default()
        };
        let normalizer = Normalizer::new(&spec, false, Symbols::default()).unwrap();
        move |text| {
            let mut out = Normalized::new(false);
            normalizer.normalize(text, &mut out);
            String::from_utf8(out.text).unwrap()
        }
    }

    #[test]
    fn nfkc_is_that_of_unicode_for_every_character() {
        let normalize = normalizer(Normalization::Nfkc);
        for c in ('\u{1}'..=char::MAX).filter(|&c| is_character(c)) {
            let text = c.to_string();
            assert_eq!(normalize(&text), text.nfkc().collect::<String>(), "{c:?}");
        }
    }

    #[test]
    fn the_rules_are_those_that_googles_library_comes_with() {
        let mut rules: Vec<(String, String)> = nmt_nfkc()
            .into_iter()
            .map(|(from, to)| (from.into_iter().collect(), to.into_iter().collect()))
            .collect();
        rules.sort();
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (from, to) in &rules {
            hash.update(format!("{from}\0{to}\0").as_bytes());
        }
        // Of sentencepiece 0.2.3, as `tests/fixtures/train/make.py` prints them.
        assert_eq!(rules.len(), 225_276);
        assert_eq!(format!("{:032x}", hash.digest128()), "9cae80e3d821f56ff2a211c7088f3d45");
    }

    #[test]
    fn sequences_are_composed() {
        let normalize = normalizer(Normalization::Nfkc);
        for text in
            ["e\u{301}", "ｶﾞ", "ω\u{314}\u{340}\u{345}", "각", "ㄱ\u{1161}ﾡ", "\u{1d58e}\u{303}"]
        {
            assert_eq!(normalize(text), text.nfkc().collect::<String>());
        }
    }

    #[test]
    fn nmt_changes_what_is_invisible_and_keeps_the_tilde() {
        let normalize = normalizer(Normalization::NmtNfkc);
        assert_eq!(normalize("a\tb\r\nc\u{200b}d\u{feff}▁"), "a b  c d  ");
        assert_eq!(normalize("a\u{1}\u{7f}\u{1f}b"), "ab");
        assert_eq!(normalize("〜～Ａ①"), "〜～A1");
        assert_eq!(normalizer(Normalization::Nfkc)("～"), "~");
        assert!(charsmap(Normalization::Identity).unwrap().is_empty());
    }
}
