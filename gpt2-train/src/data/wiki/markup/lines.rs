//! What the beginning of a line says of it.

use super::frames::Kind;
use super::{Stripper, marks};

impl Stripper<'_> {
    /// Ends a line and looks at the beginning of the next one.
    pub fn end_of_line(&mut self) {
        self.at += 1;
        self.line += 1;
        let is_blank = self.is_next(b"\n");
        while let Some(frame) = self.frames.top() {
            let gives_up = match frame.kind {
                Kind::External => true,
                // A target is in one line; a label in one paragraph, but for captions of images.
                Kind::Link => {
                    self.frames.bars().is_empty()
                        || is_blank && !self.is_in_caption()
                        || self.is_next(b"==")
                }
                _ => false,
            };
            if !gives_up {
                break;
            }
            self.unwind(self.frames.len() - 1);
        }
        self.out.push('\n');
        if self.poems > 0 {
            self.out.push(marks::ITEM);
        }
        self.start_of_line();
    }

    /// Reads what makes a line a heading, an item, a row or a rule.
    pub fn start_of_line(&mut self) {
        let spaces = self.count(b' ');
        match self.rest().get(spaces) {
            Some(b'{') if self.rest()[spaces..].starts_with(b"{|") => {
                self.open(Kind::Table, spaces + 2);
            }
            Some(b'|') => {
                self.at += spaces;
                self.row();
            }
            Some(b'!') if self.frames.is_in_table() => self.out.push(marks::ROW),
            Some(b'=') if spaces == 0 => self.out.push(marks::HEADING),
            Some(b'*' | b'#' | b':' | b';') if spaces == 0 => self.item(),
            Some(b'-') if self.is_next(b"----") => {
                self.at += self.count(b'-');
                self.gap();
                self.out.push('\n');
            }
            // Text that is set as it stands.
            Some(byte) if spaces > 0 && *byte != b'\n' => {
                self.at += spaces;
                self.out.push(marks::ITEM);
            }
            _ => {}
        }
    }

    fn item(&mut self) {
        let is_sign = |byte: &&u8| matches!(byte, b'*' | b'#' | b':' | b';');
        let signs = self.rest().iter().take_while(is_sign).count();
        self.at += signs;
        let spaces = self.count(b' ');
        if self.rest()[spaces..].starts_with(b"{|") {
            return self.open(Kind::Table, spaces + 2);
        }
        self.out.push(marks::ITEM);
    }

    /// A line that begins with a bar: the end of a table, a row, or an argument.
    fn row(&mut self) {
        let is_end = self.is_next(b"|}") && !(self.frames.is_in_braces() && self.is_next(b"|}}"));
        let is_table = |frame: &super::frames::Frame| frame.kind == Kind::Table;
        if is_end && let Some(index) = self.frames.find(is_table, |_| false) {
            self.unwind(index + 1);
            self.at += 2;
            return self.close_with_gap();
        }
        self.out.push(marks::ROW);
        if is_end {
            self.at += 2;
        }
    }

    /// Whether nothing has been written since the line began.
    pub fn is_start_of_line(&self) -> bool {
        const FARTHEST: usize = 32;
        let mut written = self.out.bytes().rev().take(FARTHEST);
        let is_nothing = |byte: &u8| *byte == b' ' || char::from(*byte) == marks::GAP;
        written.find(|byte| !is_nothing(byte)).is_none_or(|byte| byte == b'\n')
    }
}
