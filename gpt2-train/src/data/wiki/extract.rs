//! From dumps to a folder of articles.

use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;

use super::article::{Article, Reason};
use super::dump::{Batch, Dump};
use super::markup::Rules;
use super::output::{Found, Output, Progress};
use super::site::Site;
use super::writer::Writer;
use super::{WikiCounts, WikiJob, WikiManifest, WikiOptions};
use crate::{Control, Error, Result};

/// How far [`extract_wiki`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WikiProgress {
    /// Bytes of all dumps that have been read.
    pub bytes: u64,
    /// Bytes that they have.
    pub total: u64,
    /// What became of the pages so far, those of earlier runs included.
    pub counts: WikiCounts,
}

/// Turns dumps of Wikipedia into a folder of files of prose.
///
/// A dump is a file of a wiki's pages in MediaWiki's XML, `pages-articles.xml.bz2` or `pages-articles-multistream.xml.bz2`, or
/// a part of one, or unpacked. Several are read one after the other. Kept are articles: pages of namespace 0 that are neither redirects
/// nor disambiguations. The order is that of the dumps.
///
/// Blocks of bzip2 data are decoded side by side, and so are pages turned into prose, on the threads of the current rayon
/// pool; what is written does not depend on their number. Memory holds some megabytes of XML per thread, whatever the dump.
///
/// A run that was broken off, by whatever, goes on where it was when it is started again with the same arguments, and the
/// folder will be byte for byte what an uninterrupted run gives. Until it is whole, it has a file `unfinished.json`, and names of texts
/// end in `.part`. A folder that is whole already is left as it is.
///
/// `progress` is told after every few megabytes; where it says [`Control::Stop`], what is done is saved and `None` is returned.
///
/// # Errors
/// [`Error::Dump`] with the file and byte for data that is damaged, cut off, no bzip2, no XML, not UTF-8 or no dump;
/// [`Error::Data`] for a folder that holds something else, or articles of other dumps or options, naming what differs;
/// [`Error::Option`]; [`Error::Io`].
///
/// # Example
/// ```no_run
/// use gpt2_train::Control;
/// use gpt2_train::data::{WikiOptions, extract_wiki};
///
/// let options = WikiOptions { min_length: 200, title: true, ..WikiOptions::default() };
/// let dumps = ["idwiki-latest-pages-articles-multistream.xml.bz2".into()];
/// let manifest = extract_wiki(&dumps, "articles".as_ref(), &options, &mut |_| Control::Continue)?;
/// println!("{} articles", manifest.map_or(0, |manifest| manifest.counts.articles));
/// # Ok::<(), gpt2_train::Error>(())
/// ```
pub fn extract_wiki(
    dumps: &[PathBuf],
    output: &Path,
    options: &WikiOptions,
    progress: &mut dyn FnMut(&WikiProgress) -> Control,
) -> Result<Option<WikiManifest>> {
    check(dumps, options)?;
    let job = WikiJob::new(dumps, options)?;
    // What is no dump is told before anything is written.
    dumps.iter().try_for_each(|path| Dump::open(path, None).map(drop))?;
    let folder = Output::open(output)?;
    let begun = match folder.find(&job, options.overwrite)? {
        Found::Whole(manifest) => {
            folder.tidy()?;
            return Ok(Some(*manifest));
        }
        Found::Job(begun) => *begun,
    };
    let writer =
        Writer::resume(output, options.format, options.shard_bytes, begun.written.clone())?;
    let rules = Rules::new(&options.disambiguation_templates);
    let work = Work {
        job: &job,
        options,
        rules,
        folder: &folder,
        writer,
        state: begun,
        saved: Instant::now(),
    };
    match work.run(progress) {
        Ok(manifest) => Ok(manifest),
        Err(error) => {
            // The error that matters is the first one.
            let _ = folder.abandon();
            Err(error)
        }
    }
}

fn check(dumps: &[PathBuf], options: &WikiOptions) -> Result<()> {
    if dumps.is_empty() {
        return Err(Error::option("dumps", "empty", "at least one file"));
    }
    if options.shard_bytes == 0 {
        return Err(Error::option("shard_bytes", 0, "at least 1"));
    }
    match options.limit {
        Some(0) => Err(Error::option("limit", 0, "at least 1")),
        _ => Ok(()),
    }
}

/// Reading, stripping and writing under way.
struct Work<'a> {
    job: &'a WikiJob,
    options: &'a WikiOptions,
    rules: Rules,
    folder: &'a Output<'a>,
    writer: Writer<'a>,
    state: Progress,
    saved: Instant,
}

impl Work<'_> {
    fn run(
        mut self,
        progress: &mut dyn FnMut(&WikiProgress) -> Control,
    ) -> Result<Option<WikiManifest>> {
        while self.state.dump < self.job.dumps.len() && !self.is_done() {
            if self.dump(progress)? == Control::Stop {
                self.save()?;
                return Ok(None);
            }
        }
        // What remains after this is done again if need be.
        self.save()?;
        let manifest =
            WikiManifest::new(self.job.clone(), self.state.counts, self.writer.finish()?);
        self.folder.finish(&manifest)?;
        self.folder.tidy()?;
        Ok(Some(manifest))
    }

    fn is_done(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.state.counts.articles >= limit)
    }

    /// Goes on with a dump, to its end or that of the work.
    fn dump(&mut self, progress: &mut dyn FnMut(&WikiProgress) -> Control) -> Result<Control> {
        let path = &self.job.dumps[self.state.dump].path;
        let mut dump = Dump::open(path, self.state.place)?;
        let site = dump.site().clone();
        let mut batch = dump.next()?;
        while !batch.is_empty() {
            let (articles, next) =
                rayon::join(|| self.articles(path, &batch, &site), || dump.next());
            self.take_in(&batch, articles?)?;
            if self.is_done() {
                return Ok(Control::Continue);
            }
            if self.saved.elapsed() >= self.options.save_every {
                self.save()?;
            }
            if progress(&self.progress(batch.position)) == Control::Stop {
                return Ok(Control::Stop);
            }
            batch = next?;
        }
        self.state.dump += 1;
        self.state.place = None;
        Ok(Control::Continue)
    }

    /// Makes articles of pages, side by side.
    fn articles(&self, path: &Path, batch: &Batch, site: &Site) -> Result<Vec<Article>> {
        let article = |page: &std::ops::Range<usize>| {
            let article = batch.with_page(path, page, self.options.encoding_errors, |page| {
                Article::of(&page, site, &self.rules, self.options)
            });
            match article {
                Err(Error::Dump { .. }) if self.options.skip_malformed => {
                    Ok(Article::Dropped(Reason::Malformed))
                }
                article => article,
            }
        };
        batch.pages().par_iter().map(article).collect()
    }

    fn take_in(&mut self, batch: &Batch, articles: Vec<Article>) -> Result<()> {
        let counts = &mut self.state.counts;
        counts.pages += batch.too_large;
        counts.dropped.too_large += batch.too_large;
        for article in articles {
            if self.options.limit.is_some_and(|limit| counts.articles >= limit) {
                break;
            }
            counts.add(&article);
            if let Article::Kept { text, .. } = &article {
                counts.bytes += self.writer.append(text)?;
            }
        }
        self.state.place = Some(batch.end);
        Ok(())
    }

    /// Notes how far the work is; what is noted is on the disk by then.
    fn save(&mut self) -> Result<()> {
        self.state.written = self.writer.sync()?;
        self.saved = Instant::now();
        self.folder.note(&self.state)
    }

    fn progress(&self, position: u64) -> WikiProgress {
        let sizes = || self.job.dumps.iter().map(|dump| dump.bytes);
        let bytes = sizes().take(self.state.dump).sum::<u64>() + position;
        WikiProgress { bytes, total: sizes().sum(), counts: self.state.counts }
    }
}
