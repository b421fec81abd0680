//! What became of the pages of a dump.

use serde::{Deserialize, Serialize};

/// Pages that are left out, by the first reason that holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WikiDropped {
    /// Longer than any page is (16 MiB of XML).
    pub too_large: u64,
    /// Not what a page of a dump is, where such pages are skipped.
    pub malformed: u64,
    /// No articles: talk, templates, categories, help.
    pub namespace: u64,
    /// They lead to another page.
    pub redirect: u64,
    /// Their content is not wikitext.
    pub not_wikitext: u64,
    /// They tell meanings of a word apart.
    pub disambiguation: u64,
    /// Less text than asked for, or none.
    pub short: u64,
}

/// What has been read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct WikiCounts {
    /// Pages that were read.
    pub pages: u64,
    /// Articles that were written.
    pub articles: u64,
    /// Characters of their texts, without titles.
    pub characters: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// The other pages.
    pub dropped: WikiDropped,
}
