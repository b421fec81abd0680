//! Texts as files of a given size, in the forms that [`read_documents`](super::read_documents) reads.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The form of files of texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum TextFormat {
    /// Documents with a blank line between them; blank lines within one are left out
    #[default]
    Txt,
    /// Records with `text`, one a line
    Jsonl,
}

impl TextFormat {
    /// The extension of its files.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Jsonl => "jsonl",
        }
    }
}

/// Whether a file may be one of [`TextShards`], by its name.
pub(super) fn is_shard(name: &str) -> bool {
    let number = [TextFormat::Txt, TextFormat::Jsonl]
        .iter()
        .find_map(|format| name.strip_suffix(format.extension())?.strip_suffix('.'));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// A line of a `.jsonl` file.
#[derive(Serialize)]
struct Record<'t> {
    text: &'t str,
}

/// Writes `00000.txt`, `00001.txt` and so on. A file is closed after the document that fills it.
pub(super) struct TextShards<'a> {
    folder: &'a Path,
    format: TextFormat,
    shard_bytes: u64,
    open: Option<Shard>,
    shards: usize,
    bytes: u64,
}

struct Shard {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl<'a> TextShards<'a> {
    pub fn new(folder: &'a Path, format: TextFormat, shard_bytes: u64) -> Self {
        Self { folder, format, shard_bytes, open: None, shards: 0, bytes: 0 }
    }

    /// Writes a document, which is not blank.
    pub fn write(&mut self, document: &str) -> Result<()> {
        let mut shard = match self.open.take() {
            Some(shard) => shard,
            None => self.create()?,
        };
        let mut text = String::with_capacity(document.len() + 16);
        match self.format {
            TextFormat::Txt => {
                text.extend((shard.bytes > 0).then_some('\n'));
                for line in document.lines().filter(|line| !line.trim().is_empty()) {
                    text.extend([line, "\n"]);
                }
            }
            TextFormat::Jsonl => {
                let record = serde_json::to_string(&Record { text: document });
                text += &record.map_err(|error| Error::io("write", &shard.path)(error.into()))?;
                text.push('\n');
            }
        }
        shard.file.write_all(text.as_bytes()).map_err(Error::io("write", &shard.path))?;
        shard.bytes += text.len() as u64;
        self.bytes += text.len() as u64;
        match shard.bytes >= self.shard_bytes {
            true => shard.close(),
            false => {
                self.open = Some(shard);
                Ok(())
            }
        }
    }

    fn create(&mut self) -> Result<Shard> {
        let name = format!("{:05}.{}", self.shards, self.format.extension());
        let path = self.folder.join(name);
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        self.shards += 1;
        Ok(Shard { path, file: BufWriter::new(file), bytes: 0 })
    }

    /// Number of files, and of their bytes.
    pub fn finish(mut self) -> Result<(usize, u64)> {
        self.open.take().map_or(Ok(()), Shard::close)?;
        Ok((self.shards, self.bytes))
    }
}

impl Shard {
    fn close(mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("write", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Document, read_documents};

    /// Documents written in shards of some bytes and read again, by shard.
    fn written(format: TextFormat, shard_bytes: u64, documents: &[&str]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let mut shards = TextShards::new(folder.path(), format, shard_bytes);
        documents.iter().for_each(|document| shards.write(document).unwrap());
        let (count, bytes) = shards.finish().unwrap();
        let paths = (0..count)
            .map(|i| folder.path().join(format!("{i:05}.{}", format.extension())))
            .collect::<Vec<_>>();
        let sizes = paths.iter().map(|path| path.metadata().unwrap().len());
        assert_eq!(sizes.sum::<u64>(), bytes);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), count);
        let text = |document| match document {
            Document::Text(text) => text,
            Document::Tokens(_) => panic!("no text"),
        };
        let read = |path: &PathBuf| read_documents(path).unwrap().into_iter().map(text).collect();
        paths.iter().map(read).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let documents = ["one\ntwo", " \u{3000}three \"quoted\"", "four\u{2028}five\tsix"];
        for format in [TextFormat::Txt, TextFormat::Jsonl] {
            assert_eq!(written(format, 1000, &documents), [documents]);
            let [one, two, three] = documents.map(|document| vec![document.to_string()]);
            assert_eq!(written(format, 1, &documents), [one, two, three]);
        }
    }

    #[test]
    fn a_blank_line_ends_no_document() {
        assert_eq!(written(TextFormat::Txt, 99, &["a\n\n \nb\r\nc"]), [["a\nb\nc"]]);
        assert_eq!(written(TextFormat::Jsonl, 99, &["a\n\n \nb\r\nc"]), [["a\n\n \nb\r\nc"]]);
    }
}
