//! The texts of files in batches, for those that learn a tokenizer from them.

use std::path::PathBuf;

use super::document::{Document, parse_record};
use super::encoding::EncodingErrors;
use super::lines::LineReader;
use crate::{Error, Result};

/// Bytes of text in a batch, about.
const BATCH_BYTES: usize = 8 << 20;

/// Texts of several files, one batch after the other: the lines of a `.txt` file, each with its end, as Hugging Face's
/// trainers take them, and the `text` of each record of a `.jsonl` file.
///
/// # Example
/// ```no_run
/// use gpt2_core::tokenizer::{BpeTrainer, TrainBpeOptions};
/// use gpt2_train::data::{EncodingErrors, TextBatches};
///
/// let mut trainer = BpeTrainer::new(TrainBpeOptions::default())?;
/// for batch in TextBatches::new(&["stories.txt".into()], EncodingErrors::Strict) {
///     trainer.feed(&batch?.texts());
/// }
/// # Ok::<(), gpt2_train::Error>(())
/// ```
pub struct TextBatches<'a> {
    files: std::slice::Iter<'a, PathBuf>,
    encoding_errors: EncodingErrors,
    reader: Option<(LineReader, bool)>,
}

/// Texts that come together.
#[derive(Debug, Default)]
pub struct TextBatch {
    /// All of them, end to end.
    text: String,
    ends: Vec<usize>,
    /// Bytes of the files that were read for it.
    pub bytes: u64,
}

impl TextBatch {
    /// The texts.
    #[must_use]
    pub fn texts(&self) -> Vec<&str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end]).collect()
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }
}

impl<'a> TextBatches<'a> {
    /// The texts of these files, in their order.
    #[must_use]
    pub fn new(files: &'a [PathBuf], encoding_errors: EncodingErrors) -> Self {
        Self { files: files.iter(), encoding_errors, reader: None }
    }

    fn fill(&mut self, batch: &mut TextBatch) -> Result<()> {
        while batch.text.len() < BATCH_BYTES {
            let Some((lines, has_records)) = &mut self.reader else {
                let Some(path) = self.files.next() else { return Ok(()) };
                let has_records = path.extension().is_some_and(|extension| extension == "jsonl");
                self.reader =
                    Some((LineReader::open(path, self.encoding_errors, 0, 0)?, has_records));
                continue;
            };
            let before = lines.offset();
            if !lines.advance()? {
                self.reader = None;
                continue;
            }
            batch.bytes += lines.offset() - before;
            match *has_records {
                false => batch.push(lines.line()),
                true if lines.line().trim().is_empty() => {}
                true => batch.push(&text_of(lines)?),
            }
        }
        Ok(())
    }
}

fn text_of(lines: &LineReader) -> Result<String> {
    match parse_record(lines.path(), lines.number(), lines.line())? {
        Document::Text(text) => Ok(text),
        Document::Tokens(_) => {
            let reason = "a record of token ids, expected a `text` field";
            Err(Error::data(lines.path(), lines.number(), reason))
        }
    }
}

impl Iterator for TextBatches<'_> {
    type Item = Result<TextBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = TextBatch::default();
        match self.fill(&mut batch) {
            Ok(()) if batch.bytes == 0 => None,
            Ok(()) => Some(Ok(batch)),
            Err(error) => Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[(&str, &[u8])]) -> Result<Vec<String>> {
        read(files, EncodingErrors::Strict)
    }

    fn read(files: &[(&str, &[u8])], encoding_errors: EncodingErrors) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (name, content) in files {
            std::fs::write(path(name), content).unwrap();
        }
        let paths: Vec<PathBuf> = files.iter().map(|(name, _)| path(name)).collect();
        let mut texts = Vec::new();
        for batch in TextBatches::new(&paths, encoding_errors) {
            texts.extend(batch?.texts().into_iter().map(str::to_string));
        }
        Ok(texts)
    }

    #[test]
    fn lines_keep_their_ends_and_records_are_whole() {
        let records = b"{\"text\": \"c\\nd\"}\n\n{\"text\": \"e\"}\n";
        let found =
            texts(&[("a.txt", b"a\r\n\n b"), ("n.txt", b""), ("b.jsonl", records)]).unwrap();
        assert_eq!(found, ["a\r\n", "\n", " b", "c\nd", "e"]);
    }

    #[test]
    fn long_files_come_in_several_batches() {
        let line = format!("{}\n", "x".repeat(99));
        let text = line.repeat(BATCH_BYTES / 100 + 7);
        assert_eq!(texts(&[("a.txt", text.as_bytes())]).unwrap().concat(), text);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced_on_demand() {
        let found = read(&[("a.txt", b"a\xff\nb")], EncodingErrors::Replace).unwrap();
        assert_eq!(found, ["a\u{FFFD}\n", "b"]);
    }

    #[test]
    fn what_is_no_text_is_named() {
        for (name, content, part) in [
            ("a.txt", &b"a\n\xff\n"[..], "UTF-8"),
            ("a.jsonl", b"{\"input_ids\": [1]}\n", "line 1: a record of token ids"),
            ("a.jsonl", b"{\"text\": 1}\n", "line 1: not a JSON record"),
        ] {
            let message = texts(&[(name, content)]).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains(name), "{message}");
        }
    }
}
