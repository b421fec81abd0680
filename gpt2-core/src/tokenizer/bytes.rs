//! The printable alphabet of byte-level BPE: one character for each of the 256 bytes.
//!
//! GPT-2's vocabulary files are text, so bytes that are no printable character, the space among them, are written as
//! characters from U+0100 upwards. The table equals `bytes_to_unicode` of the first release.

use std::sync::LazyLock;

/// One past the largest character of the alphabet.
const END: usize = 0x144;

static CHARS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 0x100_u32;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        if is_printable(byte) {
            return char::from(byte);
        }
        let stand_in = char::from_u32(next).unwrap_or(char::REPLACEMENT_CHARACTER);
        next += 1;
        stand_in
    })
});

static BYTES: LazyLock<[Option<u8>; END]> = LazyLock::new(|| {
    let mut bytes = [None; END];
    for (byte, &c) in CHARS.iter().enumerate() {
        if let Some(slot) = bytes.get_mut(c as usize) {
            *slot = Some(byte as u8);
        }
    }
    bytes
});

/// The bytes that stand for themselves; the rest would be invisible or ambiguous in a text file.
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// The character that stands for a byte.
pub(super) fn char_of(byte: u8) -> char {
    CHARS[usize::from(byte)]
}

/// The byte that a character stands for; `None` outside of the alphabet.
pub(super) fn byte_of(c: char) -> Option<u8> {
    BYTES.get(c as usize).copied().flatten()
}

/// The bytes that a vocabulary entry decodes to.
///
/// An added token may hold characters outside of the alphabet; it then stands for its own UTF-8, as in Hugging Face's
/// byte-level decoder.
pub(super) fn unspell(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for c in token.chars() {
        match byte_of(c) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_character() {
        for byte in 0..=255 {
            assert_eq!(byte_of(char_of(byte)), Some(byte));
        }
    }

    #[test]
    fn space_and_newline_have_their_published_stand_ins() {
        assert_eq!(char_of(b' '), 'Ġ');
        assert_eq!(char_of(b'\n'), 'Ċ');
        assert_eq!(char_of(0xAD), 'Ń');
        assert_eq!(byte_of('語'), None);
    }

    #[test]
    fn a_token_outside_of_the_alphabet_stands_for_itself() {
        let mut bytes = Vec::new();
        unspell("Ġa", &mut bytes);
        unspell("Ġ 語", &mut bytes);
        assert_eq!(bytes, [b" a".as_slice(), "Ġ 語".as_bytes()].concat());
    }
}
