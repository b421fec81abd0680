//! What is made of a dump.

use std::time::Duration;

use crate::data::{EncodingErrors, TextFormat};

/// How dumps are turned into text.
#[derive(Debug, Clone, PartialEq)]
pub struct WikiOptions {
    /// What articles are written as. Records of `.jsonl` have `id`, `url` and `title` before `text`.
    pub format: TextFormat,
    /// Articles with fewer characters are dropped; those with none always are.
    pub min_length: usize,
    /// Begin each text with a line that is the title.
    pub title: bool,
    /// Keep headings of sections that have text.
    pub headings: bool,
    /// Bytes of a file; only one that holds a single, longer article is larger.
    pub shard_bytes: u64,
    /// End after so many articles.
    pub limit: Option<u64>,
    /// Further templates that make a page a disambiguation.
    pub disambiguation_templates: Vec<String>,
    /// What is done with text that is not UTF-8.
    pub encoding_errors: EncodingErrors,
    /// Leave out pages that are malformed, rather than ending with an error.
    pub skip_malformed: bool,
    /// How often what is done is made permanent; a run that is broken off loses no more.
    pub save_every: Duration,
    /// Replace what the folder holds of other dumps or options, and begin anew where a run was broken off.
    pub overwrite: bool,
}

impl Default for WikiOptions {
    /// Text with headings and without titles, of any length, in files of 256 MiB, saved every second.
    fn default() -> Self {
        Self {
            format: TextFormat::Txt,
            min_length: 0,
            title: false,
            headings: true,
            shard_bytes: 256 << 20,
            limit: None,
            disambiguation_templates: Vec::new(),
            encoding_errors: EncodingErrors::Strict,
            skip_malformed: false,
            save_every: Duration::from_secs(1),
            overwrite: false,
        }
    }
}
