//! From the buffer's lines to paragraphs.

use super::marks;

/// Makes paragraphs, headings and items of the lines of a buffer.
///
/// Lines of one paragraph are joined, as a browser joins them. A heading stays if headings do and there is text
/// below it, be it of a section inside.
pub fn tidy(buffer: &str, headings: bool) -> String {
    let mut document = Document {
        text: String::with_capacity(buffer.len()),
        is_open: false,
        headings: Vec::new(),
    };
    let mut cleaner = Cleaner::default();
    for line in buffer.split('\n') {
        let body = line.trim_start_matches([marks::GAP, ' ']);
        let kind = body
            .chars()
            .next()
            .filter(|sign| [marks::HEADING, marks::ITEM, marks::ROW].contains(sign));
        let text = match kind {
            Some(marks::ROW) => "",
            _ => cleaner.clean(line),
        };
        match kind {
            _ if text.is_empty() => document.is_open = false,
            Some(marks::HEADING) => match heading(text) {
                Some((level, text)) if headings => document.push_heading(level, text),
                Some(_) => document.is_open = false,
                None => document.push(text, true),
            },
            Some(_) => document.push(text, false),
            None => document.push(text, true),
        }
    }
    document.text
}

/// Level and text of a heading.
fn heading(line: &str) -> Option<(usize, &str)> {
    let inner = line.trim_matches('=');
    let before = line.len() - line.trim_start_matches('=').len();
    let after = line.len() - line.trim_end_matches('=').len();
    let level = before.min(after).min(6);
    (level > 0 && !inner.trim().is_empty()).then(|| (level, inner.trim()))
}

/// The text so far.
struct Document {
    text: String,
    /// Whether the next line belongs to the paragraph that was written last.
    is_open: bool,
    /// Headings that no text has followed yet, with their levels.
    headings: Vec<(usize, String)>,
}

impl Document {
    fn push_heading(&mut self, level: usize, text: &str) {
        while self.headings.last().is_some_and(|(above, _)| *above >= level) {
            self.headings.pop();
        }
        self.headings.push((level, text.to_string()));
        self.is_open = false;
    }

    /// Writes a line; one that `joins` belongs to the paragraph before it, and the next one to this.
    fn push(&mut self, line: &str, joins: bool) {
        if self.is_open && joins {
            self.text.push_str(between(&self.text, line));
        } else {
            for (_, heading) in std::mem::take(&mut self.headings) {
                self.line(&heading);
            }
            if !self.text.is_empty() {
                self.text.push('\n');
            }
        }
        self.text.push_str(line);
        self.is_open = joins;
    }

    fn line(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }
}

/// What stands between two lines of a paragraph: in Chinese and Japanese nothing.
fn between(before: &str, after: &str) -> &'static str {
    let is_wide = |sign: Option<char>| {
        sign.is_some_and(|sign| {
            ('\u{2e80}'..'\u{a000}').contains(&sign) || ('\u{ff00}'..'\u{fff0}').contains(&sign)
        })
    };
    match is_wide(before.chars().next_back()) && is_wide(after.chars().next()) {
        true => "",
        false => " ",
    }
}

/// Most brackets in each other that are looked after.
const DEEPEST_BRACKETS: usize = 16;

/// Cleans lines, in a buffer that is used again.
#[derive(Default)]
struct Cleaner {
    line: String,
    /// Where brackets were opened and not closed yet.
    brackets: Vec<usize>,
    /// How long the line was when something was dropped last.
    gap: Option<usize>,
    /// Number of the mark of bold type that is an apostrophe, and of those that came so far.
    apostrophe: Option<usize>,
    bold: usize,
}

impl Cleaner {
    /// A line without marks, needless white space, and what is left around something that was dropped.
    fn clean(&mut self, line: &str) -> &str {
        self.line.clear();
        self.brackets.clear();
        self.gap = None;
        self.bold = 0;
        self.apostrophe = apostrophe(line);
        let bytes = line.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let length = plain(&bytes[at..]);
            self.line.push_str(&line[at..at + length]);
            at += length;
            let Some(sign) = line[at..].chars().next() else { break };
            at += sign.len_utf8();
            self.sign(sign);
        }
        let is_nothing = |line: &str| !line.contains(|sign: char| sign.is_alphanumeric());
        if self.gap.is_some() && self.line.len() < 32 && is_nothing(&self.line) {
            self.line.clear();
        }
        self.line.trim()
    }

    /// A character that may be more than itself.
    fn sign(&mut self, sign: char) {
        match sign {
            ' '
            | '\u{a0}'
            | '\u{2002}'..='\u{200a}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{202f}'
            | '\u{205f}'
            | marks::BAR => self.space(),
            marks::GAP => self.gap = Some(self.line.len()),
            marks::BOLD => {
                if self.apostrophe == Some(self.bold) {
                    self.line.push('\'');
                }
                self.bold += 1;
            }
            // Other marks, and characters that nobody sees.
            sign if sign < ' ' => {}
            '\u{ad}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'
            | '\u{feff}' => {}
            '(' | '（' => {
                if self.brackets.len() < DEEPEST_BRACKETS {
                    self.brackets.push(self.line.len());
                }
                self.line.push(sign);
            }
            ')' | '）' => self.close(sign),
            ',' | ';' | '、' | '，' | '；' => self.separator(sign),
            '.' | ':' | '!' | '?' | '。' => {
                self.forget_space_after_gap();
                self.line.push(sign);
            }
            sign => self.line.push(sign),
        }
    }

    fn space(&mut self) {
        if !self.line.is_empty() && !self.line.ends_with([' ', '\u{3000}']) {
            self.line.push(' ');
        }
    }

    /// Whether something was dropped here, or before the space that stands here.
    fn is_after_gap(&self) -> bool {
        self.gap.is_some_and(|gap| gap >= self.line.trim_end_matches(' ').len())
    }

    fn forget_space_after_gap(&mut self) {
        if self.is_after_gap() {
            self.line.truncate(self.line.trim_end_matches(' ').len());
        }
    }

    /// A comma: one is enough where there was something between two, and none at the beginning of brackets.
    fn separator(&mut self, sign: char) {
        if self.is_after_gap() {
            self.line.truncate(self.line.trim_end_matches(' ').len());
            if self.line.ends_with([sign, '(', '（']) {
                // What follows is still behind the gap.
                self.gap = Some(self.line.len());
                return;
            }
        }
        self.line.push(sign);
    }

    /// A bracket closes; with nothing left in it, it was for what was dropped.
    fn close(&mut self, sign: char) {
        let Some(start) = self.brackets.pop() else { return self.line.push(sign) };
        if self.gap.is_none_or(|gap| gap <= start) {
            return self.line.push(sign);
        }
        let content = start + self.line[start..].chars().next().map_or(0, char::len_utf8);
        let is_left_over = |sign: char| sign.is_whitespace() || ",;、，；:/–—-・".contains(sign);
        let begin = self.line[content..].len()
            - self.line[content..].trim_start_matches(is_opening_left_over).len();
        self.line.replace_range(content..content + begin, "");
        let end = content + self.line[content..].trim_end_matches(is_left_over).len();
        self.line.truncate(end);
        if end > content {
            return self.line.push(sign);
        }
        self.line.truncate(start);
        self.gap = Some(start);
    }
}

/// What may stand at the beginning of brackets when something behind the bracket was dropped.
fn is_opening_left_over(sign: char) -> bool {
    sign.is_whitespace() || ",;、，；".contains(sign)
}

/// How many bytes mean nothing but themselves.
fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let is_single_space = byte == b' '
            && at > 0
            && !matches!(bytes[at - 1], 0..=b' ')
            && bytes.get(at + 1).is_some_and(|next| !OTHER[*next as usize]);
        if OTHER[byte as usize] && !is_single_space {
            break;
        }
        at += 1;
    }
    at
}

/// Bytes that [`Cleaner::sign`] looks at, or with which a character begins that it does.
const OTHER: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte <= 0x20 {
        table[byte] = true;
        byte += 1;
    }
    let signs = b"(),;.:!?\xc2\xe2\xe3\xef";
    let mut index = 0;
    while index < signs.len() {
        table[signs[index] as usize] = true;
        index += 1;
    }
    table
};

/// Which mark of bold type in a line is an apostrophe before italics, as in `d'''eau''`: where marks of both kinds are
/// odd in number, MediaWiki takes the first one behind a word of one letter, else behind a longer word, else behind a space.
fn apostrophe(line: &str) -> Option<usize> {
    let count = |wanted: [char; 2]| line.chars().filter(|sign| wanted.contains(sign)).count();
    let is_marked = line.bytes().any(|byte| byte == marks::BOLD as u8);
    if !is_marked
        || count([marks::BOLD, marks::BOLD_ITALIC]) % 2 == 0
        || count([marks::ITALIC, marks::BOLD_ITALIC]) % 2 == 0
    {
        return None;
    }
    let mut places = [None; 3];
    let before = |text: &str| {
        let mut signs = text.chars().rev();
        [signs.next().unwrap_or(' '), signs.next().unwrap_or(' ')]
    };
    for (number, (at, _)) in line.match_indices(marks::BOLD).enumerate() {
        let rank = match before(&line[..at]) {
            [' ', _] => 2,
            [_, ' '] => 0,
            _ => 1,
        };
        places[rank].get_or_insert(number);
    }
    places.into_iter().flatten().next()
}
