//! bzip2 data bit by bit: blocks begin at any bit.

/// Bits of the numbers that blocks and streams begin and end with.
pub const MARK_BITS: u64 = 48;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A block begins.
    Block,
    /// A stream ends.
    End,
}

impl Mark {
    const ALL: [Self; 2] = [Self::Block, Self::End];

    /// The number: digits of pi, and of its root.
    pub const fn number(self) -> u64 {
        match self {
            Self::Block => 0x3141_5926_5359,
            Self::End => 0x1772_4538_5090,
        }
    }
}

/// The byte of a mark that is looked for: the fourth one that it has bits in.
const KEY: usize = 3;

/// For each byte, which marks at which bits of an earlier byte may have it as their fourth one.
const CANDIDATES: [u16; 256] = {
    let mut table = [0; 256];
    let mut mark = 0;
    while mark < 2 {
        let mut shift = 0;
        while shift < 8 {
            let key =
                (Mark::ALL[mark].number() >> (MARK_BITS as usize + shift - 8 * (KEY + 1))) & 0xff;
            table[key as usize] |= 1 << (2 * shift + mark);
            shift += 1;
        }
        mark += 1;
    }
    table
};

/// So many bits from a place on, at most 56; bits behind the end are zeros.
pub fn read(bytes: &[u8], at: u64, count: u64) -> u64 {
    let first = (at / 8) as usize;
    let mut word = [0; 8];
    let there = bytes.get(first..).unwrap_or_default();
    let length = there.len().min(8);
    word[..length].copy_from_slice(&there[..length]);
    let word = u64::from_be_bytes(word) << (at % 8);
    if count == 0 { 0 } else { word >> (64 - count) }
}

/// All marks that begin at a bit from `from` on and end in these bytes, in order.
pub fn find_marks(bytes: &[u8], from: u64, found: &mut impl FnMut(u64, Mark)) {
    let bits = bytes.len() as u64 * 8;
    let first = (from / 8) as usize + KEY;
    for (index, &byte) in bytes.iter().enumerate().skip(first) {
        let candidates = CANDIDATES[byte as usize];
        if candidates == 0 {
            continue;
        }
        for candidate in (0..16).filter(|bit| candidates >> bit & 1 == 1) {
            let at = (index - KEY) as u64 * 8 + candidate / 2;
            let mark = Mark::ALL[(candidate % 2) as usize];
            if at >= from && at + MARK_BITS <= bits && read(bytes, at, MARK_BITS) == mark.number() {
                found(at, mark);
            }
        }
    }
}

/// Writes bits, the highest first.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Bits that make no whole byte yet.
    open: u64,
    count: u64,
}

impl Writer {
    /// Room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Writes the lowest `count` bits of a number, at most 48.
    pub fn write(&mut self, number: u64, count: u64) {
        self.open = self.open << count | number;
        self.count += count;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.open >> self.count) as u8);
        }
        self.open &= (1 << self.count) - 1;
    }

    /// Writes the bits of other bytes from one place to another; what was written before must be whole bytes.
    pub fn copy(&mut self, bytes: &[u8], from: u64, to: u64) {
        let shift = (from % 8) as u32;
        let whole = (to - from) / 8;
        let first = (from / 8) as usize;
        let source = &bytes[first..first + whole as usize + usize::from(shift > 0 && whole > 0)];
        match shift {
            0 => self.bytes.extend_from_slice(source),
            _ => self
                .bytes
                .extend(source.windows(2).map(|pair| pair[0] << shift | pair[1] >> (8 - shift))),
        }
        let rest = (to - from) % 8;
        self.write(read(bytes, to - rest, rest), rest);
    }

    /// The bytes, the last one filled up with zeros.
    pub fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.write(0, 8 - self.count);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_at_every_bit() {
        for mark in Mark::ALL {
            for before in 0..40 {
                let mut writer = Writer::default();
                (0..before).for_each(|_| writer.write(1, 1));
                writer.write(mark.number(), MARK_BITS);
                writer.write(5, 3);
                let bytes = writer.finish();
                let mut found = Vec::new();
                find_marks(&bytes, 0, &mut |at, mark| found.push((at, mark)));
                assert_eq!(found, [(before, mark)]);
                found.clear();
                find_marks(&bytes, before, &mut |at, mark| found.push((at, mark)));
                assert_eq!(found, [(before, mark)]);
                find_marks(&bytes, before + 1, &mut |_, _| panic!("it begins before"));
                // One that is cut is none.
                find_marks(&bytes[..(before as usize + 47) / 8], 0, &mut |_, _| {
                    panic!("it is cut")
                });
            }
        }
    }

    #[test]
    fn bits_are_copied_from_every_place_to_every_other() {
        let bytes: Vec<u8> = (0..12u8).map(|at| at.wrapping_mul(77) ^ 0x5a).collect();
        let bit = |bytes: &[u8], at: u64| bytes[(at / 8) as usize] >> (7 - at % 8) & 1;
        for from in 0..40 {
            for to in from..=96 {
                let mut writer = Writer::default();
                writer.copy(&bytes, from, to);
                let copied = writer.finish();
                assert_eq!(copied.len() as u64, (to - from).div_ceil(8));
                for at in from..to {
                    assert_eq!(bit(&copied, at - from), bit(&bytes, at), "{from} {to} {at}");
                }
            }
        }
    }
}
