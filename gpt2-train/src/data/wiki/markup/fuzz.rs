//! Wikitext that nobody would write: the text that comes out has its form, in time that grows with the text.

use std::time::Instant;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Pieces that mean something, alone or together.
const PIECES: [&str; 74] = [
    "{{",
    "}}",
    "{{{",
    "}}}",
    "[[",
    "]]",
    "[",
    "]",
    "{|",
    "|}",
    "|-",
    "|",
    "||",
    "!",
    "\n",
    "\n\n",
    "\n{|\n",
    "\n|}",
    "\n==",
    "== ",
    "=",
    "''",
    "'''",
    "'''''",
    "'",
    "<ref>",
    "</ref>",
    "<ref name=a />",
    "<ref",
    "<!--",
    "-->",
    "<nowiki>",
    "</nowiki>",
    "<math>",
    "</math>",
    "<table>",
    "</table>",
    "<ruby>",
    "<rt>",
    "</rt>",
    "<rp>",
    "</ruby>",
    "<code>",
    "</code>",
    "<poem>",
    "</poem>",
    "<br>",
    "<div>",
    "<b",
    "</",
    "[http://x ",
    "[[Berkas:a|",
    "[[Kategori:b]]",
    "[[en:",
    ":",
    "*",
    "#",
    "&amp;",
    "&#10;",
    "&",
    "__TOC__",
    "__",
    "lang|ja|",
    "{{convert|5|",
    "{{quote|",
    "1=",
    " ",
    "\u{a0}",
    "\u{3000}",
    "（",
    "）",
    "、",
    "kebun",
    "東京",
];

fn prose(text: &str) -> String {
    let (site, rules) = (Site::new("", &[]), Rules::new(&[]));
    strip(text, Context { site: &site, rules: &rules, title: "Judul", headings: true }).text
}

#[track_caller]
fn check_form(text: &str) {
    let prose = prose(text);
    for line in prose.split('\n') {
        assert!(
            prose.is_empty() || line.trim() == line && !line.is_empty(),
            "{line:?} of {text:?}"
        );
    }
    assert!(!prose.contains(|sign: char| sign < ' ' && sign != '\n'), "{prose:?} of {text:?}");
    // Templates that stand for a title or a word add some.
    assert!(prose.len() <= 3 * text.len() + 16, "{prose:?} of {text:?}");
}

#[test]
fn prose_of_random_wikitext_has_no_blank_line_and_no_mark() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..20_000 {
        let pieces = rng.random_range(1..40);
        let text: String = (0..pieces).map(|_| PIECES[rng.random_range(0..PIECES.len())]).collect();
        check_form(&text);
    }
}

#[test]
fn prose_of_random_characters_has_no_blank_line_and_no_mark() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let signs: Vec<char> =
        "{}[]|<>!-=*#:;'&_/\n\t\r\u{0}\u{1}\u{7} ()（）,.aé東\u{200b}\u{85}\u{2028}😀"
            .chars()
            .collect();
    for _ in 0..20_000 {
        let length = rng.random_range(1..60);
        let text: String = (0..length).map(|_| signs[rng.random_range(0..signs.len())]).collect();
        check_form(&text);
    }
}

#[track_caller]
fn check_time(text: impl Fn(usize) -> String) {
    let seconds = |bytes: usize| {
        let text = text(bytes);
        let start = Instant::now();
        prose(&text);
        start.elapsed().as_secs_f64()
    };
    // What is quadratic takes minutes for a megabyte.
    let long = seconds(1 << 20);
    let part: String = text(100).chars().take(100).collect();
    assert!(long < 5.0, "{part:?} takes {long} s, a tenth of it {} s", seconds((1 << 20) / 10));
}

#[test]
fn time_grows_with_the_text_and_not_faster() {
    let mut patterns: Vec<String> = PIECES.map(ToString::to_string).to_vec();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..60 {
        let pieces = rng.random_range(2..6);
        patterns.push((0..pieces).map(|_| PIECES[rng.random_range(0..PIECES.len())]).collect());
    }
    let more = [
        "[[Berkas:a|\n\n",
        "{{a|[[b ",
        "   <!---->",
        "<code>x",
        "<ref>a<math>",
        "<span a=\"",
        "{|\n|\n",
        "(,{{a}} ",
        "{{quote|",
        "{{lang|a|",
        "[[a|",
        "{{a|b=c|",
    ];
    patterns.extend(more.map(str::to_string));
    for pattern in &patterns {
        check_time(|bytes| pattern.repeat(bytes / pattern.len()));
    }
    for (open, close) in [
        ("{{lang|a|b", "}}"),
        ("{{quote|", "}}"),
        ("[[a|b", "]]"),
        ("[[Berkas:a|", "]]"),
        ("\n{|\n", "\n|}"),
        ("<table>", "</table>"),
        ("(,{{a}}x", ")"),
        ("（、{{a}}", "、）"),
        ("{{{", "}}}"),
        ("[http://a ", "]"),
        ("<poem>", "</poem>"),
        ("<ref>", "</ref>"),
        ("<!--", "-->"),
        ("<nowiki>", "</nowiki>"),
        ("[[a {{b ", "]]"),
        ("{{a [[b ", "}}"),
        ("'''a''", "'''''"),
    ] {
        check_time(|bytes| {
            let times = bytes / (open.len() + close.len());
            open.repeat(times) + &close.repeat(times)
        });
    }
}
