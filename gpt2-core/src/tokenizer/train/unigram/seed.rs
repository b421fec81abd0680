//! Frequent substrings, which learning begins with.
//!
//! All suffixes of all parts are sorted, as far as pieces reach; what several have in common is then found in one pass.
//! These are the inner nodes of a suffix tree, as in Google's library, with the ends of parts as characters of their own.
//! A suffix array of the whole text, as libraries make it, would not count a part as often as it occurs, and takes five
//! times the memory.

use rayon::prelude::*;

use super::pieces::Piece;
use super::segments::Segments;

/// A substring: place and length in bytes, and its score.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: u64,
    place: usize,
    length: usize,
}

/// Substrings of at least two characters that occur at least twice, not longer than `max_length` characters and as
/// `is_piece` allows: the `most` that cover most characters. All single characters are there in any case. Pieces come in
/// the order of their texts, with logarithms of probabilities.
pub(super) fn seed_pieces(
    segments: &Segments,
    max_length: usize,
    most: usize,
    is_piece: impl Fn(&str) -> bool + Sync,
) -> Vec<Piece> {
    let text = segments.text();
    let sorted = sorted_suffixes(text, max_length);
    let groups: Vec<&[usize]> =
        sorted.chunk_by(|&a, &b| first_char(text, a) == first_char(text, b)).collect();
    let found = groups.par_iter().map(|group| repeated(segments, group, max_length));
    let mut candidates: Vec<Candidate> = found.flatten_iter().collect();
    drop(sorted);
    let text_of = |candidate: &Candidate| &text[candidate.place..][..candidate.length];
    candidates.retain(|candidate| is_piece(text_of(candidate)));
    let best_first = |a: &Candidate, b: &Candidate| {
        b.score.cmp(&a.score).then_with(|| text_of(a).cmp(text_of(b)))
    };
    let characters = segments.characters();
    let most = most.saturating_sub(characters.len());
    if candidates.len() > most {
        candidates.select_nth_unstable_by(most, best_first);
        candidates.truncate(most);
    }
    let mut list: Vec<Piece> = candidates
        .iter()
        .map(|candidate| (text_of(candidate).to_string(), candidate.score))
        .chain(characters.into_iter().map(|(c, count)| (c.to_string(), count)))
        .map(|(text, score)| Piece { text, score: score as f64 })
        .collect();
    list.par_sort_unstable_by(|a, b| a.text.cmp(&b.text));
    let whole: f64 = list.iter().map(|piece| piece.score).sum();
    list.iter_mut().for_each(|piece| piece.score = (piece.score / whole).ln());
    list
}

/// The beginnings of all characters, in the order of what follows them, as far as a piece reaches.
fn sorted_suffixes(text: &str, max_length: usize) -> Vec<usize> {
    let bytes = text.as_bytes();
    let reach = (max_length + 1) * 4;
    let mut places: Vec<usize> =
        text.char_indices().filter(|&(_, c)| c != '\0').map(|(place, _)| place).collect();
    let suffix = |place: usize| &bytes[place..bytes.len().min(place + reach)];
    places.par_sort_unstable_by(|&a, &b| suffix(a).cmp(suffix(b)));
    places
}

fn first_char(text: &str, place: usize) -> Option<char> {
    text[place..].chars().next()
}

/// A node of the suffix tree that is open.
struct Node {
    /// In characters.
    length: usize,
    place: usize,
    count: u64,
}

/// What occurs at least twice among sorted suffixes, and has at least two characters.
fn repeated(segments: &Segments, sorted: &[usize], max_length: usize) -> Vec<Candidate> {
    let text = segments.text();
    // A node as long as this is cut off and no node.
    let cut = max_length + 1;
    let mut found = Vec::new();
    let mut open: Vec<Node> = Vec::new();
    let mut before = None;
    for &place in sorted {
        let (length, in_common) = match before {
            None => (length_in_chars(text, place, cut), 0),
            Some(before) => measure(text, before, place, cut),
        };
        close(&mut open, in_common, &mut |node| keep(text, node, max_length, &mut found));
        let count = segments.count_at(place);
        match open.last_mut() {
            Some(top) if top.length == length => top.count += count,
            _ => open.push(Node { length, place, count }),
        }
        before = Some(place);
    }
    close(&mut open, 0, &mut |node| keep(text, node, max_length, &mut found));
    found
}

/// Closes nodes of more characters than the next suffix has in common with them.
fn close(open: &mut Vec<Node>, in_common: usize, done: &mut impl FnMut(&Node)) {
    let mut below: Option<Node> = None;
    while open.last().is_some_and(|top| top.length > in_common) {
        let Some(mut top) = open.pop() else { break };
        top.count += below.map_or(0, |below| below.count);
        done(&top);
        below = Some(top);
    }
    if let Some(below) = below.filter(|_| in_common > 0) {
        match open.last_mut() {
            Some(top) if top.length == in_common => top.count += below.count,
            _ => open.push(Node { length: in_common, ..below }),
        }
    }
}

fn keep(text: &str, node: &Node, max_length: usize, found: &mut Vec<Candidate>) {
    if node.count < 2 || !(2..=max_length).contains(&node.length) {
        return;
    }
    let score = node.count * node.length as u64;
    let length = text[node.place..].chars().take(node.length).map(char::len_utf8).sum();
    found.push(Candidate { score, place: node.place, length });
}

/// Characters up to the end of the part, at most `most`.
fn length_in_chars(text: &str, place: usize, most: usize) -> usize {
    text[place..].chars().take(most).take_while(|&c| c != '\0').count()
}

/// The length of the second suffix and what it has in common with the first, in characters, at most `most`.
fn measure(text: &str, before: usize, place: usize, most: usize) -> (usize, usize) {
    let mut one = text[before..].chars();
    let (mut length, mut in_common) = (0, 0);
    for c in text[place..].chars().take(most).take_while(|&c| c != '\0') {
        if in_common == length && one.next() == Some(c) {
            in_common += 1;
        }
        length += 1;
    }
    (length, in_common)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::segments::Segments;
    use super::*;

    const PARTS: [(&str, u64); 5] =
        [("abab", 3), ("bab", 2), ("日本日本人", 1), ("x", 9), ("xyz", 1)];

    #[test]
    fn seeds_are_the_repeated_substrings_with_their_numbers() {
        let segments = Segments::new(PARTS.into_iter());
        let pieces = seed_pieces(&segments, 3, 1000, |_| true);
        // Numbers of all substrings, counted one by one.
        let mut right: BTreeMap<String, u64> = BTreeMap::new();
        for (part, count) in PARTS {
            let chars: Vec<char> = part.chars().collect();
            for start in 0..chars.len() {
                for end in start + 1..=chars.len() {
                    *right.entry(chars[start..end].iter().collect()).or_default() += count;
                }
            }
        }
        let whole: f64 = pieces.iter().map(|piece| right_score(&right, &piece.text)).sum();
        for piece in &pieces {
            let expected = (right_score(&right, &piece.text) / whole).ln();
            assert!((piece.score - expected).abs() < 1e-12, "{}", piece.text);
        }
        let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        // "ba" is always followed by "b", "aba" by "b", and "本日" occurs once.
        assert_eq!(texts, ["a", "ab", "b", "bab", "x", "y", "z", "人", "日", "日本", "本"]);
    }

    fn right_score(right: &BTreeMap<String, u64>, text: &str) -> f64 {
        (right[text] * text.chars().count() as u64) as f64
    }

    #[test]
    fn the_best_are_kept_and_all_characters() {
        let segments = Segments::new(PARTS.into_iter());
        let texts = |most, forbidden: &str| -> Vec<String> {
            let pieces = seed_pieces(&segments, 3, most, |text| text != forbidden);
            pieces.into_iter().map(|piece| piece.text).filter(|text| text.len() > 1).collect()
        };
        assert_eq!(texts(9, ""), ["ab", "人", "日", "本"]);
        assert_eq!(texts(9, "ab"), ["bab", "人", "日", "本"]);
        assert_eq!(texts(1, ""), ["人", "日", "本"]);
    }
}
