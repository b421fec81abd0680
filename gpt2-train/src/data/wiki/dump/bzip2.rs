//! bzip2 files, decoded block by block on all threads.
//!
//! A bzip2 file is a row of streams, and a stream a row of blocks that know nothing of each other and begin with a
//! number of 48 bits, at any bit. So they can be found without decoding anything, which makes a file of
//! one stream as parallel as one of many, needs no index, and lets a run that was broken off go on at a block. The number may stand
//! in a block by chance: a piece that is no block alone is tried again together with the next ones.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::bits::{MARK_BITS, Mark, find_marks, read};
use super::blocks::{Block, CHECKSUM_BITS, decode};
use super::source::{Piece, Place};
use crate::{Error, Result};

/// Bytes of compressed data per thread that are decoded side by side; a block has about a quarter of a megabyte.
const BYTES_PER_THREAD: usize = 2 << 20;

/// Bounds of that for all threads together.
const BATCH_BYTES: (usize, usize) = (2 << 20, 12 << 20);

/// Blocks per thread that are decoded side by side, and most of them: each may have megabytes of text.
const BLOCKS: (usize, usize) = (8, 64);

/// No block of 900,000 symbols of at most 20 bits is longer.
const LONGEST_BLOCK: usize = 3 << 20;

/// How many pieces a block may be found in.
const MOST_PIECES: usize = 4;

/// Bytes of `BZh9`.
const HEADER_BYTES: u64 = 4;

/// A place at which a block may begin or a stream end.
struct Found {
    bit: u64,
    mark: Mark,
}

/// A file under way.
pub struct Bzip2 {
    path: PathBuf,
    file: File,
    /// Compressed data; bit 0 of it is bit `base` of the file.
    window: Vec<u8>,
    base: u64,
    is_at_end: bool,
    /// Marks of the window from `at` on, by bits of the file.
    marks: VecDeque<Found>,
    /// Up to which bit they have been looked for.
    scanned: u64,
    /// What comes next.
    at: u64,
    in_stream: bool,
    /// Checksum of the blocks of the stream so far.
    checksum: u32,
    /// Blocks that are decoded, with where they begin.
    decoded: VecDeque<(Place, Block)>,
}

impl Bzip2 {
    /// Goes on at a place, which `file` stands at.
    pub fn new(path: &Path, file: File, place: Place) -> Self {
        let base = place.bit / 8 * 8;
        Self {
            path: path.to_path_buf(),
            file,
            window: Vec::new(),
            base,
            is_at_end: false,
            marks: VecDeque::new(),
            scanned: place.bit,
            at: place.bit,
            in_stream: place.in_stream,
            checksum: place.checksum,
            decoded: VecDeque::new(),
        }
    }

    /// Bytes of the file before what has not been given yet.
    pub fn position(&self) -> u64 {
        self.decoded.front().map_or(self.at, |(place, _)| place.bit) / 8
    }

    /// The next text; `None` at the end of the file.
    pub fn next(&mut self) -> Result<Option<Piece>> {
        loop {
            let Some((place, block)) = self.decoded.pop_front() else {
                match self.decode()? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            let (text, rest) = match block {
                Block::Text(text) => (text, None),
                Block::Long(mut long) => {
                    let (text, is_last) = long.next().ok_or_else(|| self.broken(place.bit))?;
                    (text, (!is_last).then_some(long))
                }
            };
            if let Some(rest) = rest {
                let skip = place.skip + text.len() as u64;
                self.decoded.push_front((Place { skip, ..place }, Block::Long(rest)));
            }
            if !text.is_empty() {
                return Ok(Some(Piece { place, text }));
            }
        }
    }

    /// Decodes some more blocks; says whether there was anything left to read.
    fn decode(&mut self) -> Result<bool> {
        self.read()?;
        if self.is_at_end && !self.in_stream && self.at == self.end() {
            return Ok(false);
        }
        let ends = self.marks.iter().skip(1).map(|found| found.bit);
        let end = self.is_at_end.then(|| self.end());
        let most = (BLOCKS.0 * rayon::current_num_threads()).min(BLOCKS.1);
        let pieces: Vec<(u64, u64)> = self
            .marks
            .iter()
            .zip(ends.chain(end))
            .filter(|(found, _)| found.mark == Mark::Block)
            .map(|(found, end)| (found.bit, end))
            .take(most)
            .collect();
        let base = self.base;
        let decode =
            |&(from, to): &(u64, u64)| (from, decode(&self.window, from - base, to - base));
        let blocks: Vec<_> = pieces.par_iter().map(decode).collect();
        let mut blocks: VecDeque<(u64, Option<Block>)> = blocks.into();
        let before = self.at;
        while self.step(&mut blocks)? {}
        if self.at == before {
            return Err(self.broken(self.at));
        }
        Ok(true)
    }

    /// Takes in a header, a block or an end; says whether there was one.
    fn step(&mut self, blocks: &mut VecDeque<(u64, Option<Block>)>) -> Result<bool> {
        if !self.in_stream {
            return self.header();
        }
        while self.marks.front().is_some_and(|found| found.bit < self.at) {
            self.marks.pop_front();
        }
        let place =
            Place { bit: self.at, checksum: self.checksum, in_stream: true, ..Place::default() };
        if self.end() < self.at + MARK_BITS + CHECKSUM_BITS {
            return match self.is_at_end {
                true => Err(self.fault(self.at, "the file ends within a stream: it is cut off")),
                false => Ok(false),
            };
        }
        let checksum = read(&self.window, self.at + MARK_BITS - self.base, CHECKSUM_BITS) as u32;
        match self.marks.front() {
            Some(Found { bit, mark: Mark::End }) if *bit == self.at => {
                if checksum != self.checksum {
                    return Err(self.fault(
                        self.at,
                        "the checksum of the stream that ends here is not that of its blocks",
                    ));
                }
                self.at = (self.at + MARK_BITS + CHECKSUM_BITS).next_multiple_of(8);
                (self.in_stream, self.checksum) = (false, 0);
                Ok(true)
            }
            Some(Found { bit, mark: Mark::Block }) if *bit == self.at => {
                while blocks.front().is_some_and(|(from, _)| *from < self.at) {
                    blocks.pop_front();
                }
                let known = blocks.pop_front().filter(|(from, _)| *from == self.at);
                let Some((_, block)) = known else { return Ok(false) };
                let (block, end) = match block {
                    Some(block) => (block, self.marks.get(1).map_or(self.end(), |found| found.bit)),
                    None => self.join()?,
                };
                self.decoded.push_back((place, block));
                self.checksum = self.checksum.rotate_left(1) ^ checksum;
                self.at = end;
                Ok(true)
            }
            _ => Err(self.fault(
                self.at,
                "neither a block nor the end of a stream begins here: the data is corrupt",
            )),
        }
    }

    /// The header of a stream.
    fn header(&mut self) -> Result<bool> {
        let rest = &self.window[((self.at - self.base) / 8) as usize..];
        match rest {
            [] => return Ok(false),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => {}
            _ if rest.len() < HEADER_BYTES as usize && !self.is_at_end => return Ok(false),
            _ => {
                let reason = "something else follows the end of a stream, expected another one or the end of the file";
                return Err(self.fault(self.at, reason));
            }
        }
        self.at += HEADER_BYTES * 8;
        (self.in_stream, self.checksum) = (true, 0);
        Ok(true)
    }

    /// Decodes a block with what looked like the beginnings of others in it; gives it with its end.
    fn join(&mut self) -> Result<(Block, u64)> {
        self.read_to(((self.at - self.base) / 8) as usize + LONGEST_BLOCK)?;
        let ends = self.marks.iter().skip(2).map(|found| found.bit);
        let end = self.is_at_end.then(|| self.end());
        for end in ends.chain(end).take(MOST_PIECES - 1) {
            if let Some(block) = decode(&self.window, self.at - self.base, end - self.base) {
                return Ok((block, end));
            }
        }
        Err(self.broken(self.at))
    }

    /// Forgets what is done and reads on, up to a whole block at least.
    fn read(&mut self) -> Result<()> {
        while self.marks.front().is_some_and(|found| found.bit < self.at) {
            self.marks.pop_front();
        }
        let mut done = ((self.at - self.base) / 8) as usize;
        // Not for every small block: what is left is moved.
        if done >= self.window.len() / 2 {
            self.window.drain(..done);
            self.base += done as u64 * 8;
            done = 0;
        }
        let (least, most) = BATCH_BYTES;
        self.read_to(done + (BYTES_PER_THREAD * rayon::current_num_threads()).clamp(least, most))?;
        match self.marks.len() < 2 {
            true => self.read_to(done + LONGEST_BLOCK),
            false => Ok(()),
        }
    }

    /// Reads until the window has so many bytes, and looks for marks in them.
    fn read_to(&mut self, length: usize) -> Result<()> {
        let missing = length.saturating_sub(self.window.len());
        if missing == 0 || self.is_at_end {
            return Ok(());
        }
        let part = Read::by_ref(&mut self.file).take(missing as u64).read_to_end(&mut self.window);
        self.is_at_end = part.map_err(Error::io("read", &self.path))? < missing;
        let (base, marks) = (self.base, &mut self.marks);
        find_marks(&self.window, self.scanned - base, &mut |at, mark| {
            marks.push_back(Found { bit: base + at, mark });
        });
        // A mark that is cut off by the end of the window is found next time.
        self.scanned = self.scanned.max((self.end() + 1).saturating_sub(MARK_BITS));
        Ok(())
    }

    /// The bit behind the window.
    fn end(&self) -> u64 {
        self.base + self.window.len() as u64 * 8
    }

    fn broken(&self, bit: u64) -> Error {
        let is_cut = self.is_at_end && self.marks.len() < 2;
        let reason = match is_cut {
            true => "the bzip2 block that begins here has no end: the file is cut off",
            false => "the bzip2 block that begins here is corrupt",
        };
        self.fault(bit, reason)
    }

    fn fault(&self, bit: u64, reason: &str) -> Error {
        Error::dump(&self.path, bit / 8, false, reason)
    }
}

#[cfg(test)]
mod tests;
