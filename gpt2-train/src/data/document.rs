//! Reading text files and JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::Deserialize;

use super::Example;
use crate::{Error, Result};

/// One unit of a corpus: a story, an article, or a sequence that is already tokenized.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// Text that has yet to be tokenized.
    Text(String),
    /// A training sequence that is used as it is.
    Tokens(Example),
}

/// A line of a `.jsonl` file; other keys are allowed and not read.
#[derive(Deserialize)]
struct Record {
    text: Option<String>,
    input_ids: Option<Vec<u32>>,
    labels: Option<Vec<i64>>,
}

/// Reads documents from one file, by its extension.
///
/// - `.jsonl`: a record a line, with `text`, or with `input_ids` and optionally `labels`;
/// - anything else: UTF-8 text, in which blank lines separate documents.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be read; [`Error::Data`] naming the line that is not
/// UTF-8, not JSON or holds neither kind of record; [`Error::Data`] for a file without documents.
pub fn read_documents(path: impl AsRef<Path>) -> Result<Vec<Document>> {
    let path = path.as_ref();
    let is_jsonl = path.extension().is_some_and(|extension| extension == "jsonl");
    let documents = if is_jsonl { read_jsonl(path)? } else { read_paragraphs(path)? };
    if documents.is_empty() {
        return Err(Error::data(path, None, "there is no text in this file"));
    }
    Ok(documents)
}

/// Reads a file as the text that it is for an evaluation: a `.txt` file whole, blank lines and
/// all; the documents of a `.jsonl` file one by one.
///
/// # Errors
/// As [`read_documents`].
pub fn read_text(path: impl AsRef<Path>) -> Result<Vec<Document>> {
    let path = path.as_ref();
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        return read_documents(path);
    }
    let mut text = String::new();
    for_each_line(path, |_, line| {
        text.push_str(line);
        Ok(())
    })?;
    if text.trim().is_empty() {
        return Err(Error::data(path, None, "there is no text in this file"));
    }
    Ok(vec![Document::Text(text)])
}

/// Reads documents from the text of a `.jsonl` file, which messages call `name`.
///
/// # Errors
/// [`Error::Data`] naming the line.
pub fn parse_jsonl(name: &Path, text: &str) -> Result<Vec<Document>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(index, line)| parse_record(name, index + 1, line)).collect()
}

fn read_jsonl(path: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    for_each_line(path, |number, line| {
        if !line.trim().is_empty() {
            documents.push(parse_record(path, number, line)?);
        }
        Ok(())
    })?;
    Ok(documents)
}

fn parse_record(path: &Path, number: usize, line: &str) -> Result<Document> {
    let record: Record = serde_json::from_str(line)
        .map_err(|error| Error::data(path, number, format!("not a JSON record: {error}")))?;
    match record {
        Record { input_ids: Some(input_ids), labels, .. } => {
            Ok(Document::Tokens(Example { input_ids, labels }))
        }
        Record { text: Some(text), .. } => Ok(Document::Text(text)),
        _ => Err(Error::data(path, number, "expected a `text` or `input_ids` field")),
    }
}

fn read_paragraphs(path: &Path) -> Result<Vec<Document>> {
    let mut documents = Vec::new();
    let mut open = String::new();
    for_each_line(path, |_, line| {
        if line.trim().is_empty() {
            close(&mut open, &mut documents);
        } else {
            open.push_str(line);
        }
        Ok(())
    })?;
    close(&mut open, &mut documents);
    Ok(documents)
}

fn close(open: &mut String, documents: &mut Vec<Document>) {
    let text = open.trim_end();
    if !text.is_empty() {
        documents.push(Document::Text(text.to_string()));
    }
    open.clear();
}

/// Calls `use_line` with every line, counted from 1, its line end included.
fn for_each_line(path: &Path, mut use_line: impl FnMut(usize, &str) -> Result<()>) -> Result<()> {
    let mut reader = BufReader::new(File::open(path).map_err(Error::io("read", path))?);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(Error::io("read", path))? == 0 {
            break;
        }
        let line = std::str::from_utf8(&bytes)
            .map_err(|_| Error::data(path, number, "the line is not UTF-8 text"))?;
        use_line(number, line)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    #[test]
    fn blank_lines_separate_the_documents_of_a_text_file() {
        let (_folder, path) = file("a.txt", b"one\ntwo\n\n\n  \nthree");
        let documents = read_documents(&path).unwrap();
        let texts = ["one\ntwo", "three"].map(|text| Document::Text(text.to_string()));
        assert_eq!(documents, texts);
        assert_eq!(read_text(&path).unwrap().len(), 1);
    }

    #[test]
    fn json_lines_hold_text_or_tokens() {
        let lines =
            b"{\"text\": \"a\", \"title\": 1}\n\n{\"input_ids\": [1, 2], \"labels\": [-100, 2]}\n";
        let (_folder, path) = file("a.jsonl", lines);
        let example = Example { input_ids: vec![1, 2], labels: Some(vec![-100, 2]) };
        let expected = [Document::Text("a".to_string()), Document::Tokens(example)];
        assert_eq!(read_documents(&path).unwrap(), expected);
    }

    #[test]
    fn a_bad_line_is_named() {
        for (content, part) in [
            (&b"{\"text\": \"a\"}\n{\"text\": 3}\n"[..], "line 2: not a JSON record"),
            (b"{\"title\": \"a\"}\n", "line 1: expected a `text` or `input_ids` field"),
            (b"{\"text\": \"a\"}\n\xff\n", "line 2: the line is not UTF-8"),
            (b"\n\n", "there is no text in this file"),
        ] {
            let (_folder, path) = file("a.jsonl", content);
            let message = read_documents(&path).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        let missing = read_documents("/nowhere/a.txt").unwrap_err().to_string();
        assert!(missing.contains("/nowhere/a.txt: cannot read"), "{missing}");
    }
}
