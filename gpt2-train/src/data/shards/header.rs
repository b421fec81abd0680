//! The first bytes of a shard.

use std::fmt::Display;
use std::path::Path;

use super::VERSION;
use crate::data::corpus::checksum_text;
use crate::{Error, Result};

/// Bytes before the tokens.
pub(super) const HEADER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"GPT2TOKS";

/// What a shard says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// 2 or 4.
    pub bytes_per_token: u32,
    /// Ids are below it.
    pub vocab_size: u64,
    /// Number of tokens.
    pub tokens: u64,
    /// Fingerprint of the tokenizer.
    pub tokenizer: u128,
    /// XXH3-128 of the bytes behind the header.
    pub checksum: u128,
}

impl Header {
    pub fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.bytes_per_token.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.vocab_size.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.tokens.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.tokenizer.to_le_bytes());
        bytes[48..].copy_from_slice(&self.checksum.to_le_bytes());
        bytes
    }

    /// Checks that these bytes are this header.
    ///
    /// # Errors
    /// [`Error::Data`] naming the file and the first field that is not as expected.
    pub fn check(&self, bytes: &[u8; HEADER_BYTES], path: &Path) -> Result<()> {
        let u32_at = |at: usize| u64::from(u32::from_le_bytes(array(bytes, at)));
        let u64_at = |at: usize| u64::from_le_bytes(array(bytes, at));
        let u128_at = |at: usize| u128::from_le_bytes(array(bytes, at));
        if bytes[..8] != MAGIC {
            let reason = "no shard of tokens: it does not begin with GPT2TOKS";
            return Err(Error::data(path, None, reason));
        }
        for (field, found, expected) in [
            ("version", u32_at(8), u64::from(VERSION)),
            ("bytes_per_token", u32_at(12), u64::from(self.bytes_per_token)),
            ("vocab_size", u64_at(16), self.vocab_size),
            ("tokens", u64_at(24), self.tokens),
        ] {
            same(path, field, found, expected)?;
        }
        for (field, found, expected) in
            [("tokenizer", u128_at(32), self.tokenizer), ("checksum", u128_at(48), self.checksum)]
        {
            same(path, field, checksum_text(found), checksum_text(expected))?;
        }
        Ok(())
    }

    /// Size of the file; `None` when it is more than any file's.
    pub fn file_bytes(&self) -> Option<u64> {
        self.tokens_bytes()?.checked_add(HEADER_BYTES as u64)
    }

    /// Size of the tokens.
    pub fn tokens_bytes(&self) -> Option<u64> {
        self.tokens.checked_mul(self.bytes_per_token.into())
    }
}

fn array<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

fn same<T: PartialEq + Display>(path: &Path, field: &str, found: T, expected: T) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let reason = format!("the header's `{field}` is {found}, expected {expected}");
    Err(Error::data(path, None, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_compared_and_named() {
        let header = Header {
            bytes_per_token: 2,
            vocab_size: 300,
            tokens: 77,
            tokenizer: 1 << 100,
            checksum: 5,
        };
        let good = header.to_bytes();
        header.check(&good, Path::new("a.tokens")).unwrap();
        assert_eq!(header.file_bytes(), Some(64 + 154));
        assert_eq!(Header { tokens: u64::MAX, ..header }.file_bytes(), None);
        for at in 0..HEADER_BYTES {
            let mut bytes = good;
            bytes[at] ^= 1;
            let message = header.check(&bytes, Path::new("a.tokens")).unwrap_err().to_string();
            let field = match at {
                0..8 => "GPT2TOKS",
                8..12 => "`version`",
                12..16 => "`bytes_per_token`",
                16..24 => "`vocab_size`",
                24..32 => "`tokens`",
                32..48 => "`tokenizer`",
                _ => "`checksum`",
            };
            assert!(message.starts_with("a.tokens: ") && message.contains(field), "{message}");
        }
    }
}
