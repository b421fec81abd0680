//! `gpt2 data clean`.

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use gpt2_train::data::{
    CleanOptions, CleanReport, Dedup, NearOptions, Normalization, SentenceSplitter, ShingleUnit,
    TextCount, TextFormat, TextUnit, clean_files, find_files,
};
use serde_json::json;

use super::corpus::EncodingArgs;
use super::data::bar;
use super::{Failure, Outcome, check_output};
use crate::args::{Global, finite, positive};
use crate::output;

/// Options of `gpt2 data clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    /// Files, folders of them or patterns such as 'stories/*.txt'; `.txt` (blank lines separate documents) or `.jsonl`
    /// (`text`)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder to write, new or empty unless --overwrite is given
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// What a document of a `.txt` file is
    #[arg(long, value_enum, default_value_t = Unit::Paragraph)]
    document_unit: Unit,
    #[command(flatten)]
    encoding: EncodingArgs,
    /// Unicode form that texts are brought into
    #[arg(long, value_enum, value_name = "FORM")]
    normalize: Option<Normalization>,
    /// Drop documents with fewer characters
    #[arg(long, value_name = "N", default_value_t = 0)]
    min_characters: usize,
    /// Drop documents that repeat an earlier one
    #[arg(long, value_enum, value_name = "HOW")]
    dedup: Option<DedupKind>,
    /// Similarity from which on documents are near duplicates [default: 0.8]
    #[arg(long, value_name = "X", value_parser = finite)]
    near_threshold: Option<f64>,
    /// What is compared of near duplicates: runs of so many characters or words [default: characters]
    #[arg(long, value_enum, value_name = "UNIT")]
    shingle_unit: Option<ShingleUnit>,
    /// How many [default: 9 characters, 5 words]
    #[arg(long, value_name = "N", value_parser = positive)]
    shingle_size: Option<usize>,
    /// Write a sentence a line (`.jsonl`: a sentence a record)
    #[arg(long)]
    split_sentences: bool,
    /// Marks that end a sentence [default: 。]
    #[arg(long, value_name = "MARKS", requires = "split_sentences")]
    sentence_marks: Option<String>,
    /// Form of the files to write
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
    /// Bytes of a file, after which the next one begins
    #[arg(long, value_name = "N", default_value_t = CleanOptions::default().shard_bytes)]
    shard_bytes: u64,
    /// Replace what an earlier run has made
    #[arg(long)]
    overwrite: bool,
}

/// What a document of a text file is.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Unit {
    /// What stands between blank lines
    Paragraph,
    /// Each line
    Line,
}

/// Which repetitions are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DedupKind {
    /// The same text, white space apart
    Exact,
    /// Those and almost the same text
    Near,
}

impl CleanArgs {
    fn options(&self) -> Result<CleanOptions, Failure> {
        let marks = self.sentence_marks.as_deref();
        let splitter = || marks.map_or(Ok(SentenceSplitter::default()), SentenceSplitter::new);
        Ok(CleanOptions {
            document_unit: match self.document_unit {
                Unit::Paragraph => TextUnit::Paragraph,
                Unit::Line => TextUnit::Line,
            },
            encoding_errors: self.encoding.encoding_errors,
            normalize: self.normalize,
            min_characters: self.min_characters,
            dedup: self.dedup()?,
            split_sentences: self.split_sentences.then(splitter).transpose()?,
            format: self.format,
            shard_bytes: self.shard_bytes,
            overwrite: self.overwrite,
        })
    }

    fn dedup(&self) -> Result<Option<Dedup>, Failure> {
        if self.dedup == Some(DedupKind::Near) {
            let default = NearOptions::default();
            let unit = self.shingle_unit.unwrap_or(default.shingle_unit);
            let usual = if unit == ShingleUnit::Words { 5 } else { default.shingle_size };
            return Ok(Some(Dedup::Near(NearOptions {
                threshold: self.near_threshold.unwrap_or(default.threshold),
                shingle_unit: unit,
                shingle_size: self.shingle_size.unwrap_or(usual),
            })));
        }
        let given = [
            ("near-threshold", self.near_threshold.is_some()),
            ("shingle-unit", self.shingle_unit.is_some()),
            ("shingle-size", self.shingle_size.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(format!("`{option}` is for `--dedup near` only").into()),
            None => Ok(self.dedup.map(|_| Dedup::Exact)),
        }
    }
}

/// Cleans the files.
pub fn run(args: &CleanArgs, global: &Global) -> Outcome {
    let start = Instant::now();
    let options = args.options()?;
    let files = find_files(&args.files)?;
    let inputs: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    check_output(&args.output, &inputs)?;
    let bar = bar(&files, global)?.with_message("cleaning");
    let report = clean_files(&files, &args.output, &options, &|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    let report = report?;
    if global.json {
        let mut json = serde_json::to_value(&report)?;
        json["seconds"] = json!(start.elapsed().as_secs_f64());
        return Ok(output::json(&json)?);
    }
    output::line(table(&report))?;
    if global.is_chatty() {
        eprintln!("{} holds {}", args.output.display(), summary(&report));
    }
    Ok(())
}

fn table(report: &CleanReport) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(["", "documents", "characters"]);
    let mut row = |name: &str, count: &TextCount| {
        table.add_row([
            name.to_string(),
            count.documents.to_string(),
            count.characters.to_string(),
        ]);
    };
    row("read", &report.read);
    for (reason, dropped) in &report.dropped {
        row(reason.words(), &dropped.count);
    }
    row("kept", &report.kept);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// The rest of the report, in words.
fn summary(report: &CleanReport) -> String {
    let mut parts = vec![format!("{} bytes in {} files", report.bytes, report.shards)];
    parts.extend(report.sentences.map(|count| format!("{count} sentences")));
    for (count, what) in [
        (report.normalized, "documents were normalized"),
        (report.replaced_lines, "lines had bytes that are not UTF-8"),
    ] {
        parts.extend((count > 0).then(|| format!("{count} {what}")));
    }
    parts.push("examples of what was dropped are in report.json".to_string());
    parts.join("; ")
}
