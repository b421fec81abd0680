//! What is open at a place of the text.

use memchr::memchr;

use super::links::Target;
use super::{Stripper, marks};

/// Most things that are open at once; what is opened beyond is left as it is.
const DEEPEST: usize = 64;

/// A kind of thing that is opened and closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{{`, with so many braces.
    Braces(usize),
    /// `[[`
    Link,
    /// `[https://`
    External,
    /// `{|`
    Table,
    /// `<table>`
    HtmlTable,
}

/// Something that is open.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    pub kind: Kind,
    /// Where its content begins in the buffer.
    pub start: usize,
    /// The line that it begins in.
    pub line: usize,
    /// Index of its first bar.
    bars: usize,
}

/// A `|`, which begins an argument.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// Where it is in the buffer.
    pub at: usize,
    /// Where the first `=` behind it is.
    pub equals: Option<usize>,
}

/// All that is open, the innermost thing last, and the bars in it.
#[derive(Debug, Default)]
pub struct Frames {
    list: Vec<Frame>,
    bars: Vec<Bar>,
}

impl Frames {
    /// The innermost.
    pub fn top(&self) -> Option<&Frame> {
        self.list.last()
    }

    fn top_kind(&self) -> Option<Kind> {
        self.top().map(|frame| frame.kind)
    }

    /// Whether the innermost thing is a template.
    pub fn is_in_braces(&self) -> bool {
        matches!(self.top_kind(), Some(Kind::Braces(_)))
    }

    /// Whether the innermost thing is a table.
    pub fn is_in_table(&self) -> bool {
        self.top_kind() == Some(Kind::Table)
    }

    /// Opens something; says whether there is room.
    pub fn push(&mut self, kind: Kind, start: usize, line: usize) -> bool {
        let has_room = self.list.len() < DEEPEST;
        if has_room {
            self.list.push(Frame { kind, start, line, bars: self.bars.len() });
        }
        has_room
    }

    /// Forgets the innermost thing.
    pub fn pop(&mut self) -> Option<Frame> {
        let frame = self.list.pop()?;
        self.bars.truncate(frame.bars);
        Some(frame)
    }

    /// Index of the innermost thing that `is_it`, unless one that `blocks` the view is inside of it.
    pub fn find(
        &self,
        is_it: impl Fn(&Frame) -> bool,
        blocks: impl Fn(&Frame) -> bool,
    ) -> Option<usize> {
        let inside_out = self.list.iter().enumerate().rev();
        inside_out
            .take_while(|(_, frame)| is_it(frame) || !blocks(frame))
            .find(|(_, frame)| is_it(frame))
            .map(|(index, _)| index)
    }

    /// Number of things that are open.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Bars of the innermost thing.
    pub fn bars(&self) -> &[Bar] {
        self.top().map_or(&[], |frame| &self.bars[frame.bars..])
    }

    /// Notes a bar of the innermost thing.
    pub fn note_bar(&mut self, at: usize) {
        self.bars.push(Bar { at, equals: None });
    }

    /// Notes an `=`, if it is the first one of an argument of the innermost template.
    pub fn note_equals(&mut self, at: usize) {
        if self.is_in_braces()
            && !self.bars().is_empty()
            && let Some(bar) = self.bars.last_mut()
        {
            bar.equals.get_or_insert(at);
        }
    }

    /// What is left of braces when the innermost ones of them have been closed; their content is text by now.
    pub fn keep_braces(&mut self, count: usize) {
        if let Some(frame) = self.list.last_mut() {
            frame.kind = Kind::Braces(count);
            self.bars.truncate(frame.bars);
        }
    }
}

impl Stripper<'_> {
    /// Opens something here, behind its first `length` bytes.
    pub fn open(&mut self, kind: Kind, length: usize) {
        self.at += length;
        self.frames.push(kind, self.out.len(), self.line);
    }

    /// A bar between arguments, or a bar.
    pub fn bar(&mut self) {
        let has_arguments = |frame: &Frame| matches!(frame.kind, Kind::Braces(_) | Kind::Link);
        if self.frames.top().is_some_and(has_arguments) {
            self.frames.note_bar(self.out.len());
            self.out.push(marks::BAR);
            self.at += 1;
        } else {
            self.sign("|");
        }
    }

    /// Gives up all that is open but for the outermost `depth` things: none of it is closed.
    pub fn unwind(&mut self, depth: usize) {
        while self.frames.len() > depth {
            let first_bar = self.frames.bars().first().map(|bar| bar.at);
            let Some(frame) = self.frames.pop() else { return };
            match frame.kind {
                // The name of the template is no prose.
                Kind::Braces(_) => self.drop_until(frame.start, first_bar),
                Kind::Link if self.target(frame.start, first_bar) == Target::Nowhere => {
                    self.drop_until(frame.start, None);
                }
                _ => {}
            }
        }
    }

    /// Drops text from `start` to `end` or the end of its line, whichever comes first.
    fn drop_until(&mut self, start: usize, end: Option<usize>) {
        let content = &self.out.as_bytes()[start..];
        let line = memchr(b'\n', content).unwrap_or(content.len());
        let end = end.unwrap_or(usize::MAX).min(start + line);
        self.out.replace_range(start..end, "");
    }

    /// Closes the innermost thing, whose content is dropped.
    pub fn close_with_gap(&mut self) {
        if let Some(frame) = self.frames.pop() {
            self.out.truncate(frame.start);
            self.gap();
        }
    }
}
