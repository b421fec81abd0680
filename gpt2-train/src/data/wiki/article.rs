//! From a page to a document of the corpus, or to the reason why it is none.

use serde::Serialize;

use super::dump::Page;
use super::markup::{Context, Rules, strip};
use super::site::Site;
use super::{WikiCounts, WikiOptions, words};
use crate::data::TextFormat;

/// What becomes of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Article {
    /// It is written so.
    Kept {
        /// What is written, without what stands between documents.
        text: String,
        /// Characters of its text, without the title.
        characters: u64,
    },
    /// It is left out.
    Dropped(Reason),
}

/// Why a page is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    Malformed,
    Namespace,
    Redirect,
    NotWikitext,
    Disambiguation,
    Short,
}

impl WikiCounts {
    /// Counts a page.
    pub(super) fn add(&mut self, article: &Article) {
        self.pages += 1;
        let dropped = &mut self.dropped;
        let count = match article {
            Article::Kept { characters, .. } => {
                self.characters += characters;
                &mut self.articles
            }
            Article::Dropped(Reason::Malformed) => &mut dropped.malformed,
            Article::Dropped(Reason::Namespace) => &mut dropped.namespace,
            Article::Dropped(Reason::Redirect) => &mut dropped.redirect,
            Article::Dropped(Reason::NotWikitext) => &mut dropped.not_wikitext,
            Article::Dropped(Reason::Disambiguation) => &mut dropped.disambiguation,
            Article::Dropped(Reason::Short) => &mut dropped.short,
        };
        *count += 1;
    }
}

/// A line of a `.jsonl` file, with the fields of the hub's `wikipedia` data sets.
#[derive(Serialize)]
struct Record<'a> {
    id: String,
    url: String,
    title: &'a str,
    text: &'a str,
}

impl Article {
    /// Decides what becomes of a page.
    pub fn of(page: &Page, site: &Site, rules: &Rules, options: &WikiOptions) -> Self {
        if page.namespace != 0 {
            return Self::Dropped(Reason::Namespace);
        }
        if page.is_redirect || words::is_redirect(&page.text) {
            return Self::Dropped(Reason::Redirect);
        }
        if !page.is_wikitext {
            return Self::Dropped(Reason::NotWikitext);
        }
        if words::is_disambiguation(&page.title) {
            return Self::Dropped(Reason::Disambiguation);
        }
        let context = Context { site, rules, title: &page.title, headings: options.headings };
        let prose = strip(&page.text, context);
        if prose.is_disambiguation {
            return Self::Dropped(Reason::Disambiguation);
        }
        let characters = prose.text.chars().count();
        if characters < options.min_length.max(1) {
            return Self::Dropped(Reason::Short);
        }
        let text = match options.title {
            true => format!("{}\n{}", one_line(&page.title), prose.text),
            false => prose.text,
        };
        let text = match options.format {
            TextFormat::Txt => text,
            TextFormat::Jsonl => record(page, site, &text),
        };
        Self::Kept { text, characters: characters as u64 }
    }
}

/// A title as a line that is not blank.
fn one_line(title: &str) -> String {
    title.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn record(page: &Page, site: &Site, text: &str) -> String {
    let title = one_line(&page.title);
    let record = Record { id: page.id.to_string(), url: site.url(&title), title: &title, text };
    // Strings are always JSON.
    serde_json::to_string(&record).unwrap_or_default()
}
