//! What was kept of a corpus, and what was not and why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::CleanOptions;

/// Examples that are kept of each reason.
const EXAMPLES: usize = 3;

/// Characters of a text that an example shows.
const SHOWN: usize = 100;

/// Why a document was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// It has nothing but white space.
    Empty,
    /// It has fewer characters than `min_characters`.
    TooShort,
    /// An earlier document has the same text.
    Duplicate,
    /// An earlier document has almost the same text.
    NearDuplicate,
}

impl DropReason {
    /// The name in the report, as words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooShort => "too short",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near duplicate",
        }
    }
}

/// Documents and what is in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TextCount {
    /// Documents.
    pub documents: u64,
    /// Their characters (Unicode code points), without white space at their ends.
    pub characters: u64,
}

impl TextCount {
    pub(super) fn add(&mut self, characters: usize) {
        self.documents += 1;
        self.characters += characters as u64;
    }
}

/// What was dropped for one reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Dropped {
    /// How much.
    #[serde(flatten)]
    pub count: TextCount,
    /// The first documents of them.
    pub examples: Vec<DropExample>,
}

/// A document that was dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropExample {
    /// Its file.
    pub file: PathBuf,
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// Its beginning.
    pub text: String,
    /// For a duplicate the document that was kept.
    pub kept: Option<KeptOriginal>,
}

/// A document that another one is a duplicate of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeptOriginal {
    /// Its file.
    pub file: PathBuf,
    /// The line on which it begins, counted from 1.
    pub line: usize,
    /// How similar the two are, of 1; estimated for near duplicates.
    pub similarity: f64,
}

/// What [`clean_files`](super::clean_files) has done; `report.json` in the folder that it wrote.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CleanReport {
    /// What was asked for.
    pub options: CleanOptions,
    /// What was read.
    pub read: TextCount,
    /// What was kept, as it is written.
    pub kept: TextCount,
    /// What was dropped, as it was read.
    pub dropped: BTreeMap<DropReason, Dropped>,
    /// Documents that normalization has changed.
    pub normalized: u64,
    /// Lines in which bytes that are not UTF-8 were replaced.
    pub replaced_lines: u64,
    /// Sentences that were kept, where texts were divided.
    pub sentences: Option<u64>,
    /// Number of files with texts.
    pub shards: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// Where a document begins: the number of its file, and the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub file: u32,
    pub line: usize,
}

impl Place {
    fn path(self, files: &[PathBuf]) -> PathBuf {
        files.get(self.file as usize).cloned().unwrap_or_default()
    }
}

impl CleanReport {
    pub(super) fn new(options: &CleanOptions) -> Self {
        Self {
            options: options.clone(),
            read: TextCount::default(),
            kept: TextCount::default(),
            dropped: BTreeMap::new(),
            normalized: 0,
            replaced_lines: 0,
            sentences: options.split_sentences.is_some().then_some(0),
            shards: 0,
            bytes: 0,
        }
    }

    /// Counts a document that is dropped; `original` is the one that it repeats.
    pub(super) fn drop(
        &mut self,
        reason: DropReason,
        place: Place,
        text: &str,
        characters: usize,
        original: Option<(Place, f64)>,
        files: &[PathBuf],
    ) {
        let dropped = self.dropped.entry(reason).or_default();
        dropped.count.add(characters);
        if dropped.examples.len() < EXAMPLES {
            let original = original.map(|(kept, similarity)| KeptOriginal {
                file: kept.path(files),
                line: kept.line,
                similarity,
            });
            dropped.examples.push(DropExample {
                file: place.path(files),
                line: place.line,
                text: text.chars().take(SHOWN).collect(),
                kept: original,
            });
        }
    }
}
