//! From wikitext to prose.
//!
//! One pass over the text writes into a buffer and keeps a list of what is open: templates, links, tables. What
//! closes is looked at in the buffer, where its content already is prose, and is cut off, replaced or left. What
//! never closes is left as text, as MediaWiki does it. A second pass ([`tidy`]) makes paragraphs of the buffer's lines.
//!
//! No parser of others is used: the one that there is, `parse_wiki_text`, takes exponential time on templates that are not
//! closed, which its successor answers with a time limit, and it needs a description of the wiki that a dump does not have.
//!
//! Both passes take time proportional to the text, whatever is in it: nothing is parsed twice, the list of what is
//! open is bounded, and a search for an end that is not there is made once.

mod entities;
mod frames;
mod languages;
mod lines;
mod links;
mod marks;
mod rules;
mod tags;
mod templates;
mod tidy;

pub use rules::Rules;

use super::site::Site;
use frames::Frames;

/// What the prose of a page depends on, but for its text.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The names of namespaces.
    pub site: &'a Site,
    /// What becomes of templates.
    pub rules: &'a Rules,
    /// The page's title, which some templates stand for.
    pub title: &'a str,
    /// Whether headings are kept.
    pub headings: bool,
}

/// What is left of a page's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prose {
    /// Paragraphs, headings and items of lists, a line each, without blank lines.
    pub text: String,
    /// Whether a template says that the page tells meanings of a word apart.
    pub is_disambiguation: bool,
}

/// Makes prose of wikitext.
#[must_use]
pub fn strip(text: &str, context: Context) -> Prose {
    let mut stripper = Stripper {
        text,
        at: 0,
        out: String::with_capacity(text.len() / 2 + 64),
        frames: Frames::default(),
        context,
        line: 0,
        poems: 0,
        ends: Vec::new(),
        scratch: String::new(),
        is_disambiguation: false,
    };
    stripper.run();
    let text = tidy::tidy(&stripper.out, context.headings);
    Prose { text, is_disambiguation: stripper.is_disambiguation }
}

/// The first pass under way.
struct Stripper<'a> {
    text: &'a str,
    /// Where it is in `text`.
    at: usize,
    out: String,
    frames: Frames,
    context: Context<'a>,
    /// Number of the line in `text`.
    line: usize,
    /// Number of open `<poem>` tags, in which every line stays one.
    poems: usize,
    /// Where the next end tag of a name begins and ends, as far as that is known; `None` where there is no more.
    ends: Vec<(&'static str, Option<(usize, usize)>)>,
    scratch: String,
    is_disambiguation: bool,
}

/// Bytes that may be more than text.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    let signs = b"{}[]|<&'_=";
    let mut index = 0;
    while index < signs.len() {
        table[signs[index] as usize] = true;
        index += 1;
    }
    table
};

impl Stripper<'_> {
    fn run(&mut self) {
        self.start_of_line();
        while let Some(&byte) = self.bytes().get(self.at) {
            if !SPECIAL[byte as usize] {
                self.plain();
                continue;
            }
            match byte {
                b'\n' => self.end_of_line(),
                b'{' => self.open_braces(),
                b'}' => self.close_braces(),
                b'[' => self.open_bracket(),
                b']' => self.close_bracket(),
                b'|' => self.bar(),
                b'<' => self.tag(),
                b'&' => self.entity(),
                b'\'' => self.quotes(),
                b'_' => self.underscores(),
                b'=' => self.equals(),
                b'\t' => self.sign(" "),
                // Control characters, which are marks in the buffer.
                _ => self.at += 1,
            }
        }
        self.unwind(0);
    }

    fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// What is left of the text.
    fn rest(&self) -> &[u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Whether this comes next.
    fn is_next(&self, signs: &[u8]) -> bool {
        self.rest().starts_with(signs)
    }

    /// How often a byte stands here.
    fn count(&self, byte: u8) -> usize {
        self.rest().iter().take_while(|&&found| found == byte).count()
    }

    /// Text up to the next special byte.
    fn plain(&mut self) {
        let rest = self.rest();
        let is_special = |&byte: &u8| SPECIAL[byte as usize];
        let length = rest.iter().position(is_special).unwrap_or(rest.len());
        self.out.push_str(&self.text[self.at..self.at + length]);
        self.at += length;
    }

    /// Writes something in the place of one byte.
    fn sign(&mut self, sign: &str) {
        self.out.push_str(sign);
        self.at += 1;
    }

    /// Marks that something was here.
    fn gap(&mut self) {
        if !self.out.ends_with(marks::GAP) {
            self.out.push(marks::GAP);
        }
    }

    /// Apostrophes: two and more are bold or italic; which of them, the line decides when it is whole.
    fn quotes(&mut self) {
        let count = self.count(b'\'');
        self.at += count;
        let (literal, mark) = match count {
            1 => (1, None),
            2 => (0, Some(marks::ITALIC)),
            3 => (0, Some(marks::BOLD)),
            4 => (1, Some(marks::BOLD)),
            _ => (count - 5, Some(marks::BOLD_ITALIC)),
        };
        self.out.extend(std::iter::repeat_n('\'', literal));
        self.out.extend(mark);
    }

    /// Drops words such as `__NOTOC__`.
    fn underscores(&mut self) {
        const LONGEST: usize = 80;
        let count = self.count(b'_');
        if count == 2 {
            let rest = &self.rest()[2..];
            let is_word = |byte: &&u8| byte.is_ascii_uppercase() || !byte.is_ascii();
            let length = rest.iter().take(LONGEST).take_while(is_word).count();
            if length > 1 && rest[length..].starts_with(b"__") {
                self.at += 2 + length + 2;
                self.gap();
                return;
            }
        }
        self.out.push_str(&self.text[self.at..self.at + count]);
        self.at += count;
    }

    /// Notes where the name of an argument ends.
    fn equals(&mut self) {
        self.frames.note_equals(self.out.len());
        self.sign("=");
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
