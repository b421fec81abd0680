//! `gpt2 data wiki`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use gpt2_train::Control;
use gpt2_train::data::{TextFormat, WikiManifest, WikiOptions, WikiProgress, extract_wiki};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::corpus::EncodingArgs;
use super::{Failure, Outcome, check_output};
use crate::args::{Global, positive};
use crate::interrupt::{Interrupt, Interrupted};
use crate::output;

/// Options of `gpt2 data wiki`.
#[derive(Debug, Args)]
pub struct WikiArgs {
    /// Dumps or parts of one, in their order: `pages-articles.xml.bz2`, `pages-articles-multistream.xml.bz2`, or unpacked
    #[arg(required = true, value_name = "DUMP")]
    dumps: Vec<PathBuf>,
    /// Folder to write; the same command goes on where it was interrupted
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What articles are written as
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    format: TextFormat,
    /// Drop articles with fewer characters
    #[arg(long, value_name = "N", default_value_t = WikiOptions::default().min_length)]
    min_length: usize,
    /// Begin each text with a line that is the title
    #[arg(long)]
    title: bool,
    /// What becomes of headings of sections that have text
    #[arg(long, value_enum, value_name = "WHAT", default_value = "keep")]
    headings: Headings,
    /// Bytes of a file of the folder
    #[arg(long, value_name = "N", default_value_t = WikiOptions::default().shard_bytes)]
    shard_bytes: u64,
    /// End after so many articles
    #[arg(long, value_name = "N", value_parser = positive)]
    limit: Option<usize>,
    /// A further template that makes a page a disambiguation; repeatable
    #[arg(long = "disambiguation-template", value_name = "NAME")]
    disambiguation_templates: Vec<String>,
    /// How the dumps are read.
    #[command(flatten)]
    encoding: EncodingArgs,
    /// Leave out pages that are malformed, rather than ending with an error
    #[arg(long)]
    skip_malformed: bool,
    /// Replace what another such command has made of other dumps or with other options
    #[arg(long)]
    overwrite: bool,
}

/// What becomes of headings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Headings {
    /// They are lines of their own.
    Keep,
    /// They are left out.
    Drop,
}

impl WikiArgs {
    fn options(&self) -> WikiOptions {
        WikiOptions {
            format: self.format,
            min_length: self.min_length,
            title: self.title,
            headings: self.headings == Headings::Keep,
            shard_bytes: self.shard_bytes,
            limit: self.limit.map(|limit| limit as u64),
            disambiguation_templates: self.disambiguation_templates.clone(),
            encoding_errors: self.encoding.encoding_errors,
            skip_malformed: self.skip_malformed,
            overwrite: self.overwrite,
            ..WikiOptions::default()
        }
    }
}

/// Does what is asked for.
pub fn run(args: &WikiArgs, global: &Global) -> Outcome {
    let start = Instant::now();
    let inputs: Vec<_> = args.dumps.iter().map(PathBuf::as_path).collect();
    check_output(&args.output, &inputs)?;
    let interrupt = Interrupt::listen()?;
    let bar = bar(global)?;
    let mut articles = 0;
    let manifest = extract_wiki(&args.dumps, &args.output, &args.options(), &mut |progress| {
        show(&bar, progress);
        articles = progress.counts.articles;
        interrupt.signal().map_or(Control::Continue, |_| Control::Stop)
    });
    bar.finish_and_clear();
    match (manifest?, interrupt.signal()) {
        (Some(manifest), _) => report(&manifest, start.elapsed().as_secs_f64(), args, global),
        (None, signal) => {
            let signal = signal.unwrap_or(Interrupt::KEY);
            let what = format!("{articles} articles; the same command goes on");
            Err(Box::new(Interrupted { signal, what }))
        }
    }
}

/// A bar on standard error, where that is a terminal.
fn bar(global: &Global) -> Result<ProgressBar, Failure> {
    if global.quiet {
        return Ok(ProgressBar::hidden());
    }
    let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    Ok(ProgressBar::new(0).with_style(ProgressStyle::with_template(template)?))
}

fn show(bar: &ProgressBar, progress: &WikiProgress) {
    if bar.length() != Some(progress.total) {
        bar.set_length(progress.total);
        // What an earlier run has done says nothing of this one's speed.
        bar.set_position(progress.bytes);
        bar.reset_eta();
    }
    bar.set_message(format!("{} articles", progress.counts.articles));
    bar.set_position(progress.bytes);
}

fn report(manifest: &WikiManifest, seconds: f64, args: &WikiArgs, global: &Global) -> Outcome {
    let (counts, shards) = (&manifest.counts, manifest.shards.len());
    if global.json {
        return Ok(output::json(&json!({
            "pages": counts.pages, "articles": counts.articles, "dropped": counts.dropped,
            "characters": counts.characters, "bytes": counts.bytes, "shards": shards,
            "seconds": seconds,
        }))?);
    }
    let dropped = counts.dropped;
    output::line(output::list([
        ("pages", counts.pages.to_string()),
        ("articles", counts.articles.to_string()),
        ("namespace", dropped.namespace.to_string()),
        ("redirect", dropped.redirect.to_string()),
        ("disambig.", dropped.disambiguation.to_string()),
        ("short", dropped.short.to_string()),
        ("no wikitext", dropped.not_wikitext.to_string()),
        ("malformed", dropped.malformed.to_string()),
        ("too large", dropped.too_large.to_string()),
        ("characters", counts.characters.to_string()),
        ("bytes", counts.bytes.to_string()),
        ("files", shards.to_string()),
    ]))?;
    if global.is_chatty() {
        eprintln!("{} holds {} articles", args.output.display(), counts.articles);
    }
    Ok(())
}
