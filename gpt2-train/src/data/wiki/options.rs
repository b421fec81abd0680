//! What is made of a dump.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::WikiEncoding;

/// What articles are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
pub enum WikiFormat {
    /// Text; a blank line stands between articles, and nowhere else.
    #[default]
    Txt,
    /// A record a line, with `id`, `url`, `title` and `text`.
    Jsonl,
}

impl WikiFormat {
    /// How names of files end.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Txt => "txt",
            Self::Jsonl => "jsonl",
        }
    }
}

/// How dumps are turned into text.
#[derive(Debug, Clone, PartialEq)]
pub struct WikiOptions {
    /// What articles are written as.
    pub format: WikiFormat,
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
    pub encoding: WikiEncoding,
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
            format: WikiFormat::Txt,
            min_length: 0,
            title: false,
            headings: true,
            shard_bytes: 256 << 20,
            limit: None,
            disambiguation_templates: Vec::new(),
            encoding: WikiEncoding::Strict,
            skip_malformed: false,
            save_every: Duration::from_secs(1),
            overwrite: false,
        }
    }
}
