//! One shard, read where it is asked for.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::header::{HEADER_BYTES, Header};
use crate::data::corpus::checksum_text;
use crate::{Error, Result};

/// Bytes that are read at once where all of them are.
const CHUNK: usize = 1 << 20;

/// An open shard whose header is as the manifest says.
#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    file: File,
    header: Header,
}

impl Shard {
    /// Opens a file that must have this header, and the size that it gives.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] naming the field of the header, or the size.
    pub fn open(path: PathBuf, header: Header) -> Result<Self> {
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let found = file.metadata().map_err(Error::io("read", &path))?.len();
        let mut bytes = [0; HEADER_BYTES];
        if found >= HEADER_BYTES as u64 {
            read_exact_at(&file, &mut bytes, 0).map_err(Error::io("read", &path))?;
            header.check(&bytes, &path)?;
        }
        match header.file_bytes() {
            Some(expected) if expected == found => Ok(Self { path, file, header }),
            Some(expected) => {
                let reason = format!("the file has {found} bytes, expected {expected}");
                Err(Error::data(&path, None, reason))
            }
            None => Err(Error::data(&path, None, "`tokens` is more than any file holds")),
        }
    }

    /// Checks the content against the checksum.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Data`].
    pub fn verify(&self) -> Result<()> {
        // As much as the file has: that was checked on opening.
        let bytes = self.header.tokens_bytes().unwrap_or(u64::MAX);
        let found = checksum_of(&self.path, &self.file, bytes)?;
        if found == self.header.checksum {
            return Ok(());
        }
        let (found, expected) = (checksum_text(found), checksum_text(self.header.checksum));
        let reason = format!("the tokens have the checksum {found}, expected {expected}");
        Err(Error::data(&self.path, None, reason))
    }

    /// Appends `count` tokens, from number `from` on, to `ids`.
    ///
    /// # Errors
    /// [`Error::Io`] for a file that has become shorter; [`Error::Data`] for an id that is no token's.
    pub fn read(&self, from: u64, count: usize, ids: &mut Vec<u32>) -> Result<()> {
        let width = self.header.bytes_per_token as usize;
        let mut bytes = vec![0; count * width];
        let offset = HEADER_BYTES as u64 + from * width as u64;
        read_exact_at(&self.file, &mut bytes, offset).map_err(Error::io("read", &self.path))?;
        let start = ids.len();
        match width {
            2 => ids
                .extend(bytes.chunks_exact(2).map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])))),
            _ => ids.extend(
                bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])),
            ),
        }
        let unknown = |id: &u32| u64::from(*id) >= self.header.vocab_size;
        match ids[start..].iter().position(unknown) {
            None => Ok(()),
            Some(at) => {
                let (id, at, most) = (ids[start + at], from + at as u64, self.header.vocab_size);
                let reason = format!("token {at} is {id}, expected less than {most}");
                Err(Error::data(&self.path, None, reason))
            }
        }
    }
}

/// XXH3-128 of what stands behind the header.
pub(super) fn checksum_of(path: &Path, file: &File, bytes: u64) -> Result<u128> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; CHUNK.min(usize::try_from(bytes).unwrap_or(CHUNK))];
    let mut done = 0;
    while done < bytes {
        let count = buffer.len().min(usize::try_from(bytes - done).unwrap_or(CHUNK));
        let part = &mut buffer[..count];
        read_exact_at(file, part, HEADER_BYTES as u64 + done).map_err(Error::io("read", path))?;
        hash.update(part);
        done += count as u64;
    }
    Ok(hash.digest128())
}

#[cfg(unix)]
fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Where reading moves the file's own place, which nothing else here looks at.
#[cfg(windows)]
fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
