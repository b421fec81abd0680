//! Character references.

use quick_xml::escape::resolve_html5_entity;

use super::Stripper;

/// No name is longer.
const LONGEST: usize = 34;

impl Stripper<'_> {
    /// A character reference, or an ampersand.
    pub fn entity(&mut self) {
        match entity(&self.text[self.at..]) {
            Some((length, characters)) => {
                characters.into_iter().for_each(|sign| self.literal(sign));
                self.at += length;
            }
            None => self.sign("&"),
        }
    }

    /// Writes text in which only character references mean something.
    pub fn literal_text(&mut self, mut text: &str) {
        while let Some(sign) = text.chars().next() {
            let (length, characters) = match entity(text) {
                Some(found) => found,
                None => (sign.len_utf8(), [Some(sign), None]),
            };
            characters.into_iter().for_each(|sign| self.literal(sign));
            text = &text[length..];
        }
    }

    /// Writes a character that means itself.
    fn literal(&mut self, sign: Option<char>) {
        match sign {
            Some('\n' | '\t' | '\u{85}') => self.out.push(' '),
            Some(sign) if !sign.is_control() => self.out.push(sign),
            _ => {}
        }
    }
}

/// A character reference at the beginning of a text: its length, and what it stands for.
fn entity(text: &str) -> Option<(usize, [Option<char>; 2])> {
    let window = &text.as_bytes()[..text.len().min(LONGEST)];
    let (b'&', end) = (*window.first()?, memchr::memchr(b';', window)?) else { return None };
    let name = text.get(1..end)?;
    let characters = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            [Some(char::from_u32(code)?), None]
        }
        None => {
            let mut signs = resolve_html5_entity(name)?.chars();
            [signs.next(), signs.next()]
        }
    };
    Some((end + 1, characters))
}
