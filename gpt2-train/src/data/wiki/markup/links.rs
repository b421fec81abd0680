//! Links: to pages, to files and categories, to other sites.

use super::frames::{Frame, Kind};
use super::languages::is_language;
use super::{Stripper, marks};

/// What a link's target says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A page: the link is its text.
    Page,
    /// A file, a category or the same page in another language: the link is no text.
    Nowhere,
    /// No target at all: the brackets mean themselves.
    None,
}

/// How an external target begins.
const SCHEMES: [&str; 12] = [
    "http://",
    "https://",
    "//",
    "ftp://",
    "ftps://",
    "mailto:",
    "news:",
    "irc://",
    "ircs://",
    "gopher://",
    "git://",
    "tel:",
];

/// Titles have at most 255 bytes; a section of the page may follow.
const LONGEST_TARGET: usize = 1024;

impl Stripper<'_> {
    /// `[`, which may begin a link.
    pub fn open_bracket(&mut self) {
        let count = self.count(b'[');
        if count >= 2 {
            // Of more than two, the inner ones.
            self.out.extend(std::iter::repeat_n('[', count - 2));
            return self.open(Kind::Link, count);
        }
        let rest = &self.text[self.at + 1..];
        let begins = |scheme: &str| {
            rest.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        match SCHEMES.iter().any(|scheme| begins(scheme)) {
            true => {
                self.open(Kind::External, 1);
                self.skip_address();
            }
            false => self.sign("["),
        }
    }

    fn skip_address(&mut self) {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"[]<>\"|{}".contains(byte);
        let rest = self.rest();
        self.at += rest.iter().position(is_end).unwrap_or(rest.len());
    }

    /// `]`, which may end a link.
    pub fn close_bracket(&mut self) {
        if self.frames.top().is_some_and(|frame| frame.kind == Kind::External) {
            self.at += 1;
            return self.close_external();
        }
        if !self.is_next(b"]]") {
            return self.sign("]");
        }
        let line = self.line;
        // A template that began in this line and has not ended is none.
        let blocks = |frame: &Frame| match frame.kind {
            Kind::Braces(_) => frame.line != line,
            Kind::Table | Kind::HtmlTable => true,
            Kind::Link | Kind::External => false,
        };
        self.at += 2;
        if let Some(index) = self.frames.find(|frame| frame.kind == Kind::Link, blocks) {
            self.unwind(index + 1);
            self.close_link();
        }
    }

    /// An address without a text is dropped.
    fn close_external(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        if self.out[frame.start..].trim().is_empty() {
            self.out.truncate(frame.start);
            return self.gap();
        }
        let spaces = self.out[frame.start..].len() - self.out[frame.start..].trim_start().len();
        self.out.replace_range(frame.start..frame.start + spaces, "");
    }

    fn close_link(&mut self) {
        let first_bar = self.frames.bars().first().map(|bar| bar.at);
        let Some(frame) = self.frames.pop() else { return };
        match self.target(frame.start, first_bar) {
            Target::Nowhere => {
                self.out.truncate(frame.start);
                self.gap();
            }
            Target::Page => {
                let label = first_bar.map(|bar| bar + marks::BAR.len_utf8());
                match label.filter(|&label| !self.out[label..].trim().is_empty()) {
                    Some(label) => self.out.replace_range(frame.start..label, ""),
                    None => self.show_target(frame.start, first_bar),
                }
            }
            Target::None => {}
        }
    }

    /// Leaves the target of a link as its text.
    fn show_target(&mut self, start: usize, first_bar: Option<usize>) {
        self.out.truncate(first_bar.unwrap_or(self.out.len()));
        if self.out[start..].starts_with(':') {
            self.out.replace_range(start..=start, "");
        }
        // The text of `[[https://example.org text]]`, which somebody meant to write with single brackets.
        let target = &self.out[start..];
        if target.contains("://") {
            let address = target.find(' ').map_or(target.len(), |space| space + 1);
            self.out.replace_range(start..start + address, "");
            self.gap();
        }
    }

    /// Looks at the target of a link whose content begins at `start`.
    pub fn target(&self, start: usize, first_bar: Option<usize>) -> Target {
        let target = &self.out[start..first_bar.unwrap_or(self.out.len())];
        let is_too_long = target.len() > LONGEST_TARGET;
        if is_too_long
            || target.contains(['\n', '[', ']', '{', '}', '<', '>'])
            || target.trim().is_empty()
        {
            return Target::None;
        }
        let Some((prefix, _)) = target.split_once(':') else { return Target::Page };
        let prefix = prefix.trim();
        match self.context.site.is_hidden(prefix) || is_language(prefix) {
            true => Target::Nowhere,
            false => Target::Page,
        }
    }

    /// Whether the innermost thing is a link to a file.
    pub fn is_in_caption(&self) -> bool {
        let first_bar = self.frames.bars().first().map(|bar| bar.at);
        self.frames
            .top()
            .is_some_and(|frame| self.target(frame.start, first_bar) == Target::Nowhere)
    }
}
