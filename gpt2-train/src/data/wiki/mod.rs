//! Wikipedia as it is published: from `pages-articles.xml.bz2` to files of prose.
//!
//! [`extract_wiki`] reads dumps as streams, keeps articles, makes prose of their markup ([`wikitext_to_text`] is that part
//! alone) and writes them into a folder. `docs/wikipedia.md` says what is kept and what is dropped.

mod article;
mod counts;
mod dump;
mod extract;
mod manifest;
mod markup;
mod options;
mod output;
mod site;
mod words;
mod writer;

pub use counts::{WikiCounts, WikiDropped};
pub use extract::{WikiProgress, extract_wiki};
pub use manifest::{WikiDump, WikiJob, WikiManifest, WikiShard};
pub use options::WikiOptions;

/// Makes prose of the wikitext of a page, as [`extract_wiki`] does: paragraphs, headings and items of lists, a line each.
///
/// Names of files and categories are those of MediaWiki and of the Czech, Indonesian, Japanese and Portuguese Wikipedia.
///
/// # Example
/// ```
/// use gpt2_train::data::wikitext_to_text;
///
/// let text = "'''Praha''' ({{lang-de|Prag}}) je [[hlavní město|metropole]] Česka.<ref>Atlas</ref>";
/// assert_eq!(wikitext_to_text(text, true), "Praha (Prag) je metropole Česka.");
/// ```
#[must_use]
pub fn wikitext_to_text(text: &str, headings: bool) -> String {
    let (site, rules) = (site::Site::new("", &[]), markup::Rules::new(&[]));
    markup::strip(text, markup::Context { site: &site, rules: &rules, title: "", headings }).text
}
