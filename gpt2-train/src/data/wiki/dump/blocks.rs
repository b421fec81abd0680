//! One block of bzip2 data.

use ::bzip2::{Decompress, Status};

use super::bits::{MARK_BITS, Mark, Writer, read};

/// Longest text of a block that is held whole. Ordinary blocks have less than a megabyte; one that is made to may have
/// fifty times that.
const MOST_BYTES: usize = 2 << 20;

/// Bits of the checksum of a block or stream.
pub const CHECKSUM_BITS: u64 = 32;

/// The text of a block.
pub enum Block {
    /// As it is.
    Text(Vec<u8>),
    /// One that is too long: as a decoder that gives it bit by bit.
    Long(Box<LongBlock>),
}

/// A block that is decoded a piece at a time.
pub struct LongBlock {
    /// A stream of this block alone.
    stream: Vec<u8>,
    decoder: Decompress,
}

/// Decodes the block between two bits; `None` if there is none.
pub fn decode(bytes: &[u8], from: u64, to: u64) -> Option<Block> {
    let stream = stream_of(bytes, from, to)?;
    let mut block = LongBlock { stream, decoder: Decompress::new(false) };
    let mut text = Vec::with_capacity(1 << 20);
    loop {
        if block.read(&mut text)? {
            return Some(Block::Text(text));
        }
        if text.len() >= MOST_BYTES {
            drop(text);
            block.decoder = Decompress::new(false);
            return Some(Block::Long(Box::new(block)));
        }
        text.reserve(1 << 20);
    }
}

/// A stream that has this block and no other: it is as long as the format allows, and its checksum is that of the block.
fn stream_of(bytes: &[u8], from: u64, to: u64) -> Option<Vec<u8>> {
    if to < from + MARK_BITS + CHECKSUM_BITS {
        return None;
    }
    let mut writer = Writer::with_capacity(((to - from) / 8) as usize + 32);
    b"BZh9".iter().for_each(|&byte| writer.write(byte.into(), 8));
    writer.copy(bytes, from, to);
    writer.write(Mark::End.number(), MARK_BITS);
    writer.write(read(bytes, from + MARK_BITS, CHECKSUM_BITS), CHECKSUM_BITS);
    Some(writer.finish())
}

impl LongBlock {
    /// Appends text while there is room for it; says whether that was the last of it, and `None` if the data is broken.
    fn read(&mut self, text: &mut Vec<u8>) -> Option<bool> {
        loop {
            let (read, written) = (self.decoder.total_in(), text.len());
            let rest = self.stream.get(usize::try_from(read).ok()?..)?;
            match self.decoder.decompress_vec(rest, text).ok()? {
                Status::StreamEnd => {
                    // What is left over but for the last bits was no part of the block.
                    return (self.decoder.total_in() == self.stream.len() as u64).then_some(true);
                }
                Status::MemNeeded => return None,
                _ if text.len() == text.capacity() => return Some(false),
                // Nothing more to read, and no end.
                _ if self.decoder.total_in() == read && text.len() == written => return None,
                _ => {}
            }
        }
    }

    /// The next piece of the text; the last one may be empty, and says that it is the last one.
    pub fn next(&mut self) -> Option<(Vec<u8>, bool)> {
        let mut text = Vec::with_capacity(MOST_BYTES);
        let is_last = self.read(&mut text)?;
        Some((text, is_last))
    }
}
