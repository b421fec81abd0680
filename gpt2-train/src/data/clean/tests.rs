//! Claims about cleaning as a whole.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::data::read_documents;

/// A folder with files of a corpus, and `out` for what is made of them.
struct Corpus {
    folder: tempfile::TempDir,
    files: Vec<PathBuf>,
}

impl Corpus {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |(name, content): &(&str, &[u8])| {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        Self { files: files.iter().map(write).collect(), folder }
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn clean(&self, options: &CleanOptions) -> Result<CleanReport> {
        clean_files(&self.files, &self.output(), options, &|_| {})
    }

    /// The documents of the folder that was written.
    fn cleaned(&self) -> Vec<String> {
        let files = crate::data::find_files(&[self.output()]).unwrap();
        let documents = files.iter().flat_map(|file| read_documents(file).unwrap());
        let text = |document| match document {
            Document::Text(text) => text,
            Document::Tokens(_) => panic!("no text"),
        };
        documents.map(text).collect()
    }
}

fn counts(report: &CleanReport) -> Vec<(DropReason, u64, u64)> {
    let count = |(reason, dropped): (&DropReason, &Dropped)| {
        (*reason, dropped.count.documents, dropped.count.characters)
    };
    report.dropped.iter().map(count).collect()
}

#[test]
fn without_options_documents_stay_as_they_are() {
    let corpus =
        Corpus::new(&[("a.txt", b"one\ntwo\n\nthree\n"), ("b.jsonl", b"{\"text\":\"three\"}\n")]);
    let report = corpus.clean(&CleanOptions::default()).unwrap();
    assert_eq!(corpus.cleaned(), ["one\ntwo", "three", "three"]);
    assert_eq!(
        (report.read, report.kept),
        (TextCount { documents: 3, characters: 17 }, report.read)
    );
    assert!(report.dropped.is_empty());
    assert_eq!((report.shards, report.bytes, report.sentences), (1, 22, None));
}

#[test]
fn what_is_dropped_is_counted_with_examples() {
    let corpus = Corpus::new(&[
        ("a.txt", "Kucing tidur.\n\nab\n\nKucing  tidur.\n".as_bytes()),
        ("b.jsonl", b"{\"text\":\" \"}\n{\"text\":\"cd\"}\n{\"text\":\"Kucing\\ntidur.\"}\n"),
    ]);
    let options =
        CleanOptions { min_characters: 3, dedup: Some(Dedup::Exact), ..CleanOptions::default() };
    let report = corpus.clean(&options).unwrap();
    assert_eq!(corpus.cleaned(), ["Kucing tidur."]);
    assert_eq!(
        counts(&report),
        [(DropReason::Empty, 1, 0), (DropReason::TooShort, 2, 4), (DropReason::Duplicate, 2, 27)]
    );
    assert_eq!(report.read, TextCount { documents: 6, characters: 44 });
    let example = &report.dropped[&DropReason::Duplicate].examples[1];
    assert_eq!((&example.file, example.line), (&corpus.files[1], 3));
    let kept = example.kept.as_ref().unwrap();
    assert_eq!((&kept.file, kept.line, kept.similarity), (&corpus.files[0], 1, 1.0));
    let written = std::fs::read(corpus.output().join(REPORT)).unwrap();
    let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
    assert_eq!(written, serde_json::to_value(&report).unwrap());
    assert_eq!(written["dropped"]["too_short"]["documents"], 2);
    assert_eq!(written["options"]["dedup"], "exact");
}

#[test]
fn texts_are_compared_after_normalization() {
    let text = "cafe\u{301} ｶﾞ\n\ncafé ガ\n";
    let corpus = |form, expected: &[&str]| {
        let corpus = Corpus::new(&[("a.txt", text.as_bytes())]);
        let dedup = Some(Dedup::Exact);
        let options = CleanOptions { normalize: form, dedup, ..CleanOptions::default() };
        let report = corpus.clean(&options).unwrap();
        assert_eq!(corpus.cleaned(), expected);
        report.normalized
    };
    assert_eq!(corpus(None, &["cafe\u{301} ｶﾞ", "café ガ"]), 0);
    assert_eq!(corpus(Some(Normalization::Nfc), &["café ｶﾞ", "café ガ"]), 1);
    assert_eq!(corpus(Some(Normalization::Nfkc), &["café ガ"]), 1);
}

#[test]
fn near_duplicates_are_dropped_and_others_are_not() {
    let words = |salt: usize| (0..120).map(|i| format!("kata{} ", i * salt)).collect::<String>();
    let first = words(7);
    let almost = first.replacen("kata70 ", "kata71 ", 1);
    let text = [&first, &words(11), &almost, &first].map(|text| text.trim()).join("\n\n");
    let dedup = |dedup| CleanOptions { dedup: Some(dedup), ..CleanOptions::default() };
    let corpus = Corpus::new(&[("a.txt", text.as_bytes())]);
    let report = corpus.clean(&dedup(Dedup::Near(NearOptions::default()))).unwrap();
    assert_eq!(corpus.cleaned(), [first.trim(), words(11).trim()]);
    let near = &report.dropped[&DropReason::NearDuplicate];
    assert_eq!((near.count.documents, near.examples[0].line), (1, 5));
    let kept = near.examples[0].kept.as_ref().unwrap();
    assert!(kept.line == 1 && (0.8..1.0).contains(&kept.similarity), "{kept:?}");
    assert_eq!(report.dropped[&DropReason::Duplicate].count.documents, 1);
    let corpus = Corpus::new(&[("a.txt", text.as_bytes())]);
    assert_eq!(corpus.clean(&dedup(Dedup::Exact)).unwrap().kept.documents, 3);
}

#[test]
fn a_sentence_becomes_a_line_or_a_record() {
    let text = "一。二。\n三\n\n四。";
    for (format, expected) in [
        (TextFormat::Txt, &["一。\n二。\n三", "四。"][..]),
        (TextFormat::Jsonl, &["一。", "二。", "三", "四。"]),
    ] {
        let corpus = Corpus::new(&[("a.txt", text.as_bytes())]);
        let split_sentences = Some(SentenceSplitter::default());
        let options = CleanOptions { format, split_sentences, ..CleanOptions::default() };
        let report = corpus.clean(&options).unwrap();
        assert_eq!(corpus.cleaned(), expected);
        assert_eq!((report.kept.documents, report.sentences), (2, Some(4)));
    }
}

#[test]
fn the_folder_does_not_depend_on_threads_or_batches() {
    let documents: Vec<String> = (0..3000_usize)
        .map(|i| {
            let same = i % 700;
            (0..400).map(|j| format!("{} ", (same * 31 + j) * (j % 7 + 1))).collect::<String>()
        })
        .collect();
    let text = documents.join("\n\n");
    assert!(text.len() > BATCH_BYTES);
    let options = CleanOptions {
        dedup: Some(Dedup::Near(NearOptions::default())),
        shard_bytes: 100_000,
        ..CleanOptions::default()
    };
    let read = AtomicU64::new(0);
    let run = |threads: usize| {
        let corpus = Corpus::new(&[("a.txt", text.as_bytes())]);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let progress = |bytes| {
            read.fetch_add(bytes, Ordering::Relaxed);
        };
        let report =
            pool.install(|| clean_files(&corpus.files, &corpus.output(), &options, &progress));
        (report.unwrap().kept, corpus.cleaned())
    };
    let (kept, texts) = run(1);
    assert!(kept.documents <= 700 && kept.documents > 100, "{kept:?}");
    assert_eq!((kept, texts), run(3));
    assert_eq!(read.into_inner(), 2 * text.len() as u64);
}

#[test]
fn bad_input_is_named_and_leaves_no_folder() {
    let strict = CleanOptions::default();
    let short = CleanOptions { min_characters: 9, ..CleanOptions::default() };
    let no_size = CleanOptions { shard_bytes: 0, ..CleanOptions::default() };
    for (name, content, options, part) in [
        ("a.txt", &b"a\n\nb\xE9\n"[..], &strict, "a.txt, line 3: byte 4 of the file is not UTF-8"),
        ("a.txt", b" \n", &strict, "there is no text in this file"),
        ("a.jsonl", b"{\"text\":\"a\"}\n{", &strict, "a.jsonl, line 2: not a JSON record"),
        ("a.jsonl", b"{\"input_ids\":[1]}\n", &strict, "a.jsonl, line 1: a record of `input_ids`"),
        ("a.txt", b"a\n", &short, "nothing is left of 1 documents"),
        ("a.txt", b"a\n", &no_size, "`shard_bytes` is 0"),
    ] {
        let corpus = Corpus::new(&[("first.txt", b"good\n"), (name, content)]);
        let files = [corpus.files[1].clone()];
        for files in [&files[..], &corpus.files] {
            if part.contains("nothing") && files.len() == 2 {
                continue;
            }
            let error = clean_files(files, &corpus.output(), options, &|_| {}).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            let left = std::fs::read_dir(corpus.folder.path()).unwrap().count();
            assert_eq!(left, 2, "{part}");
        }
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_replaced_if_so_asked() {
    let corpus = Corpus::new(&[("a.txt", b"caf\xE9\n\nna\xC3\xAFve\n")]);
    let encoding_errors = EncodingErrors::Replace;
    let report = corpus.clean(&CleanOptions { encoding_errors, ..CleanOptions::default() });
    assert_eq!(corpus.cleaned(), ["caf\u{FFFD}", "na\u{EF}ve"]);
    assert_eq!(report.unwrap().replaced_lines, 1);
}

#[test]
fn a_folder_with_content_is_not_replaced() {
    let corpus = Corpus::new(&[("a.txt", b"a\n")]);
    std::fs::create_dir(corpus.output()).unwrap();
    assert!(corpus.clean(&CleanOptions::default()).is_ok(), "an empty folder");
    let error = corpus.clean(&CleanOptions::default()).unwrap_err().to_string();
    assert!(error.contains("the folder has content"), "{error}");
    assert_eq!(corpus.cleaned(), ["a"]);
}

#[test]
fn what_an_earlier_run_has_made_is_replaced_on_demand_and_nothing_else() {
    let corpus = Corpus::new(&[("a.txt", b"a\n\nbb\n")]);
    corpus.clean(&CleanOptions { shard_bytes: 1, ..CleanOptions::default() }).unwrap();
    let again = CleanOptions { min_characters: 2, overwrite: true, ..CleanOptions::default() };
    corpus.clean(&again).unwrap();
    assert_eq!(corpus.cleaned(), ["bb"]);
    std::fs::write(corpus.output().join("notes.txt"), "mine").unwrap();
    let error = corpus.clean(&again).unwrap_err().to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert_eq!(std::fs::read_to_string(corpus.output().join("notes.txt")).unwrap(), "mine");
}

#[test]
fn each_line_may_be_a_document() {
    let corpus = Corpus::new(&[("a.txt", b"a b\nc\n\na  b \n")]);
    let options = CleanOptions {
        document_unit: TextUnit::Line,
        dedup: Some(Dedup::Exact),
        ..CleanOptions::default()
    };
    corpus.clean(&options).unwrap();
    assert_eq!(corpus.cleaned(), ["a b", "c"]);
}
