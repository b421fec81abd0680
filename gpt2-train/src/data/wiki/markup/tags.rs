//! Comments and tags, HTML's and MediaWiki's.

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::frames::{Frame, Kind};
use super::{Stripper, marks};

/// What a tag means for prose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// It is dropped with its content.
    Drop,
    /// Likewise, if it has a line end in it.
    DropBlock,
    /// The content is text as it stands.
    Literal,
    /// A reading above a character, which may end where the next part of a `<ruby>` begins.
    Reading,
    /// Lines stay lines.
    Poem,
    /// A new line.
    Break,
    /// A new paragraph.
    Block,
    /// A table.
    Table,
    /// The tag is dropped, its content stays.
    Inline,
}

/// Tags that mean something, in the order of their names.
const TAGS: [(&str, Meaning); 106] = {
    use Meaning::*;
    [
        ("a", Inline),
        ("abbr", Inline),
        ("article", Block),
        ("audio", Drop),
        ("b", Inline),
        ("bdi", Inline),
        ("bdo", Inline),
        ("big", Inline),
        ("blockquote", Block),
        ("br", Break),
        ("caption", Block),
        ("categorytree", Drop),
        ("ce", Drop),
        ("center", Block),
        ("charinsert", Drop),
        ("chem", Drop),
        ("cite", Inline),
        ("code", DropBlock),
        ("col", Inline),
        ("colgroup", Inline),
        ("data", Inline),
        ("dd", Block),
        ("del", Inline),
        ("dfn", Inline),
        ("div", Block),
        ("dl", Block),
        ("dt", Block),
        ("em", Inline),
        ("figcaption", Block),
        ("figure", Block),
        ("font", Inline),
        ("gallery", Drop),
        ("graph", Drop),
        ("h1", Block),
        ("h2", Block),
        ("h3", Block),
        ("h4", Block),
        ("h5", Block),
        ("h6", Block),
        ("hiero", Drop),
        ("hr", Block),
        ("i", Inline),
        ("imagemap", Drop),
        ("img", Inline),
        ("includeonly", Drop),
        ("indicator", Drop),
        ("inputbox", Drop),
        ("ins", Inline),
        ("kbd", Inline),
        ("langconvert", Inline),
        ("li", Block),
        ("link", Inline),
        ("mapframe", Drop),
        ("maplink", Drop),
        ("mark", Inline),
        ("math", Drop),
        ("meta", Inline),
        ("noinclude", Inline),
        ("nowiki", Literal),
        ("ol", Block),
        ("onlyinclude", Inline),
        ("p", Block),
        ("phonos", Drop),
        ("poem", Poem),
        ("pre", Drop),
        ("q", Inline),
        ("rb", Inline),
        ("rbc", Inline),
        ("ref", Drop),
        ("references", Drop),
        ("rp", Reading),
        ("rt", Reading),
        ("rtc", Reading),
        ("ruby", Inline),
        ("s", Inline),
        ("samp", Inline),
        ("score", Drop),
        ("script", Drop),
        ("section", Inline),
        ("small", Inline),
        ("source", Drop),
        ("span", Inline),
        ("strike", Inline),
        ("strong", Inline),
        ("style", Drop),
        ("sub", Inline),
        ("sup", Inline),
        ("syntaxhighlight", Drop),
        ("table", Table),
        ("tbody", Inline),
        ("td", Block),
        ("templatedata", Drop),
        ("templatestyles", Drop),
        ("tfoot", Inline),
        ("th", Block),
        ("thead", Inline),
        ("time", Inline),
        ("timeline", Drop),
        ("tr", Block),
        ("tt", Inline),
        ("u", Inline),
        ("ul", Block),
        ("var", Inline),
        ("video", Drop),
        ("wbr", Inline),
        ("wikitext", Inline),
    ]
};

/// No tag's name is longer.
const LONGEST_NAME: usize = 16;

/// A tag as it stands in the text.
struct Tag {
    name: &'static str,
    meaning: Meaning,
    is_end: bool,
    /// Whether it ends itself.
    is_empty: bool,
    /// Bytes from `<` to `>`.
    length: usize,
}

impl<'a> Stripper<'a> {
    /// `<`, which may begin a tag or a comment.
    pub fn tag(&mut self) {
        if self.is_next(b"<!--") {
            return self.comment();
        }
        let Some(tag) = find_tag(self.rest()) else { return self.sign("<") };
        self.at += tag.length;
        let has_content = !tag.is_end && !tag.is_empty;
        match tag.meaning {
            Meaning::Drop if has_content => {
                let content = self.content(tag.name);
                self.skip(content);
            }
            Meaning::DropBlock if has_content => {
                let content = self.content(tag.name);
                self.skip(content.filter(|(text, _)| text.contains('\n')));
            }
            Meaning::Literal if has_content => {
                let content = self.content(tag.name);
                self.literal_text(content.map_or("", |(text, _)| text));
                self.skip(content);
            }
            Meaning::Reading if has_content => self.reading(),
            Meaning::Poem => self.poem(&tag),
            Meaning::Table if tag.is_end => self.end_of_html_table(),
            Meaning::Table if has_content => {
                self.frames.push(Kind::HtmlTable, self.out.len(), self.line);
            }
            Meaning::Break => self.out.extend(['\n', marks::ITEM]),
            Meaning::Block => self.out.push_str("\n\n"),
            Meaning::Drop => self.gap(),
            _ => {}
        }
    }

    /// A comment; one that never ends goes to the end of the text, as in MediaWiki.
    fn comment(&mut self) {
        let end = memmem::find(&self.rest()[4..], b"-->").map(|length| 4 + length + 3);
        let begins_line = self.is_start_of_line();
        self.advance(end.unwrap_or(self.rest().len()));
        // A line with nothing else in it is none.
        let spaces = self.count(b' ');
        if begins_line && self.rest().get(spaces) == Some(&b'\n') {
            self.advance(spaces + 1);
            self.start_of_line();
        }
    }

    /// Goes on behind bytes that may have line ends in them.
    fn advance(&mut self, length: usize) {
        self.line += memchr_iter(b'\n', &self.rest()[..length]).count();
        self.at += length;
    }

    /// Drops what `content` has found, if anything.
    fn skip(&mut self, content: Option<(&str, usize)>) {
        if let Some((_, end)) = content {
            self.advance(end - self.at);
        }
        self.gap();
    }

    /// The text from here to the end tag, and where that ends; `None` where there is no such tag.
    fn content(&mut self, name: &'static str) -> Option<(&'a str, usize)> {
        if name == "ref" && self.begins_another_reference() {
            return None;
        }
        let known = self.ends.iter().position(|(of, _)| *of == name);
        let end = match known.map(|index| self.ends[index].1) {
            Some(None) => None,
            Some(Some((start, end))) if start >= self.at => Some((start, end)),
            _ => {
                let found = find_end(self.rest(), name);
                let found = found.map(|(start, end)| (self.at + start, self.at + end));
                match known {
                    Some(index) => self.ends[index].1 = found,
                    None => self.ends.push((name, found)),
                }
                found
            }
        };
        end.map(|(start, end)| (&self.text[self.at..start], end))
    }

    /// Whether the next footnote begins before the end of this one, which then was not closed: they do not contain each
    /// other.
    fn begins_another_reference(&self) -> bool {
        let rest = self.rest();
        let names = memchr_iter(b'<', rest).map(|start| name_at(&rest[start + 1..]));
        let mut references = names.filter(|(_, name)| name.eq_ignore_ascii_case(b"ref"));
        references.next().is_some_and(|(is_end, _)| !is_end)
    }

    /// Drops the reading of a character.
    fn reading(&mut self) {
        const LONGEST: usize = 500;
        let rest = self.rest();
        let window = &rest[..rest.len().min(LONGEST)];
        let ends = |start: &usize| {
            let (_, name) = name_at(&window[start + 1..]);
            ["rt", "rp", "rb", "rtc", "ruby"]
                .iter()
                .any(|of| name.eq_ignore_ascii_case(of.as_bytes()))
        };
        if let Some(length) = memchr_iter(b'<', window).find(ends) {
            self.advance(length);
        }
    }

    fn poem(&mut self, tag: &Tag) {
        match (tag.is_end, tag.is_empty) {
            (true, _) => self.poems = self.poems.saturating_sub(1),
            (false, true) => {}
            (false, false) => self.poems += 1,
        }
        self.out.extend(['\n', marks::ITEM]);
    }

    fn end_of_html_table(&mut self) {
        let is_table = |frame: &Frame| frame.kind == Kind::HtmlTable;
        let blocks = |frame: &Frame| matches!(frame.kind, Kind::Braces(_) | Kind::Table);
        if let Some(index) = self.frames.find(is_table, blocks) {
            self.unwind(index + 1);
            self.close_with_gap();
        }
    }
}

/// Where the end tag of this name begins and ends.
fn find_end(text: &[u8], name: &str) -> Option<(usize, usize)> {
    let is_it = |start: &usize| {
        let (is_end, found) = name_at(&text[start + 1..]);
        is_end && found.eq_ignore_ascii_case(name.as_bytes())
    };
    let start = memchr_iter(b'<', text).find(is_it)?;
    let end = memchr(b'>', &text[start..]).map_or(text.len(), |length| start + length + 1);
    Some((start, end))
}

/// The name behind a `<`, and whether it is that of an end tag.
fn name_at(text: &[u8]) -> (bool, &[u8]) {
    let (is_end, text) = match text.strip_prefix(b"/") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let length =
        text.iter().take(LONGEST_NAME).take_while(|byte| byte.is_ascii_alphanumeric()).count();
    (is_end, &text[..length])
}

/// The tag at the beginning of a text, if it is one that means something.
fn find_tag(text: &[u8]) -> Option<Tag> {
    let (is_end, name) = name_at(&text[1..]);
    let mut lower = [0; LONGEST_NAME];
    let lower = &mut lower[..name.len()];
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let index = TAGS.binary_search_by(|(known, _)| known.as_bytes().cmp(lower)).ok()?;
    let (name, meaning) = TAGS[index];
    let attributes = 1 + usize::from(is_end) + name.len();
    if !matches!(text.get(attributes)?, b' ' | b'\t' | b'\n' | b'/' | b'>') {
        return None;
    }
    let end =
        attributes + memchr2(b'>', b'<', &text[attributes..]).unwrap_or(text.len() - attributes);
    if text.get(end) == Some(&b'>') {
        let is_empty = text[end - 1] == b'/';
        return Some(Tag { name, meaning, is_end, is_empty, length: end + 1 });
    }
    // A tag that never ends: as much of it as may belong to it.
    let line = memchr(b'\n', &text[..end]).unwrap_or(end);
    Some(Tag {
        name,
        meaning: Meaning::Inline,
        is_end,
        is_empty: true,
        length: line.max(attributes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_in_order() {
        assert!(TAGS.is_sorted_by(|(one, _), (two, _)| one < two));
        assert!(TAGS.iter().all(|(name, _)| name.len() <= LONGEST_NAME));
    }
}
