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
        let done = ((self.at - self.base) / 8) as usize;
        self.window.drain(..done);
        self.base += done as u64 * 8;
        let (least, most) = BATCH_BYTES;
        self.read_to((BYTES_PER_THREAD * rayon::current_num_threads()).clamp(least, most))?;
        match self.marks.len() < 2 {
            true => self.read_to(LONGEST_BLOCK),
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
mod tests {
    use std::io::Write;

    use ::bzip2::Compression;
    use ::bzip2::write::BzEncoder;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::source::Source;
    use super::*;

    fn compress(text: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = BzEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Words of which no two lines are alike.
    fn words(bytes: usize, seed: u64) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut text = Vec::with_capacity(bytes + 16);
        while text.len() < bytes {
            let word =
                ["nenek ", "menanam ", "cabai ", "di ", "kebun\n", "東京 "][rng.random_range(0..6)];
            text.extend_from_slice(word.as_bytes());
            text.extend_from_slice(rng.random_range(0..5000u32).to_string().as_bytes());
        }
        text
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    /// All texts of a file from a place on, with where they begin.
    fn read_from(path: &Path, place: Place) -> Result<Vec<(Place, Vec<u8>)>> {
        let mut source = Source::open(path, place)?;
        let mut pieces = Vec::new();
        while let Some(piece) = source.next(path)? {
            pieces.push((piece.place, piece.text));
        }
        Ok(pieces)
    }

    fn read_all(bytes: &[u8]) -> Result<Vec<u8>> {
        let file = file(bytes);
        let pieces = read_from(file.path(), Place::default())?;
        Ok(pieces.into_iter().flat_map(|(_, text)| text).collect())
    }

    #[test]
    fn files_of_one_stream_and_of_many_are_what_was_compressed() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let noise: Vec<u8> = (0..300_000).map(|_| rng.random()).collect();
        let texts = [
            words(250_000, 1),
            b"a".to_vec(),
            Vec::new(),
            words(1_000, 2),
            noise,
            vec![b'x'; 3_000_000],
        ];
        for level in [1, 6, 9] {
            let streams =
                texts.iter().map(|text| compress(text, level)).collect::<Vec<_>>().concat();
            assert!(read_all(&streams).unwrap() == texts.concat(), "level {level}");
            let one = compress(&texts.concat(), level);
            assert!(read_all(&one).unwrap() == texts.concat(), "one stream of level {level}");
        }
    }

    #[test]
    fn reading_goes_on_at_every_block() {
        let file =
            file(&[compress(&words(700_000, 4), 1), compress(&words(500_000, 5), 1)].concat());
        let all = read_from(file.path(), Place::default()).unwrap();
        assert!(all.len() > 10, "{}", all.len());
        for (index, (place, _)) in all.iter().enumerate() {
            assert!(read_from(file.path(), *place).unwrap() == all[index..], "block {index}");
        }
    }

    #[test]
    fn a_block_with_the_mark_of_another_one_in_it_is_one_block() {
        let text = words(3_000_000, 6);
        let file = file(&compress(&text, 9));
        for mark in [Mark::Block, Mark::End] {
            let mut reader =
                Bzip2::new(file.path(), File::open(file.path()).unwrap(), Place::default());
            reader.read().unwrap();
            let blocks: Vec<u64> = reader.marks.iter().map(|found| found.bit).collect();
            // As if the number stood in the second and in the last block, once and twice.
            let last = blocks.len() - 2;
            for bit in [blocks[1] + 1_001, blocks[last] + 999, blocks[last] + 70_003] {
                let at = reader.marks.iter().position(|found| found.bit > bit).unwrap();
                reader.marks.insert(at, Found { bit, mark });
            }
            let mut read = Vec::new();
            while let Some(piece) = reader.next().unwrap() {
                read.extend(piece.text);
            }
            assert!(read == text, "{mark:?}");
        }
    }

    #[test]
    fn a_block_of_a_hundred_megabytes_is_given_in_pieces() {
        let bytes = compress(&vec![0; 100_000_000], 9);
        assert!(bytes.len() < 1_000);
        let file = file(&bytes);
        let pieces = read_from(file.path(), Place::default()).unwrap();
        assert!(pieces.iter().all(|(_, text)| text.len() <= 2 << 20));
        assert_eq!(pieces.iter().map(|(_, text)| text.len()).sum::<usize>(), 100_000_000);
    }

    #[test]
    fn what_is_cut_off_is_an_error_that_says_where() {
        let text = words(250_000, 7);
        let (one, two) = (compress(&text, 1), compress(&text, 2));
        let both = [&*one, &*two].concat();
        let mut lengths: Vec<usize> = (4..both.len()).step_by(501).collect();
        lengths.extend(both.len() - 16..both.len());
        lengths.extend(one.len() - 16..one.len() + 16);
        for length in lengths {
            let result = read_all(&both[..length]);
            match length == one.len() {
                true => assert!(result.unwrap() == text),
                false => match result.unwrap_err() {
                    Error::Dump { offset, in_xml: false, .. } => assert!(offset <= length as u64),
                    error => panic!("{length}: {error}"),
                },
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_an_error_or_nothing() {
        let text = words(300, 8);
        let bytes = [compress(&text, 9), compress(&text, 9)].concat();
        let whole = text.repeat(2);
        let mut errors = 0;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read_all(&flipped) {
                Err(Error::Dump { .. }) => errors += 1,
                Err(error) => panic!("{bit}: {error}"),
                // Bits that fill up the last byte of a stream, and those of a header that say how large blocks may be.
                Ok(read) => assert!(read == whole, "{bit}"),
            }
        }
        assert!(errors > bytes.len() * 8 - 40, "{errors} of {}", bytes.len() * 8);
    }

    #[test]
    fn what_follows_a_stream_is_another_one() {
        let stream = compress(b"kebun", 9);
        for garbage in [&b"x"[..], b"\0", b"BZ", b"BZh", b"BZh0", b"<xml>", &[0; 100]] {
            let error = read_all(&[&*stream, garbage].concat()).unwrap_err().to_string();
            assert!(error.contains(&format!("byte {}", stream.len())), "{error}");
        }
        let error = read_all(b"BZh9 and no more of it").unwrap_err().to_string();
        assert!(error.contains("byte 4: neither a block nor"), "{error}");
    }
}
