//! Encoding and decoding with byte-level BPE, in bytes of text per second.
//!
//! `cargo bench -p gpt2-benches --bench tokenizers`; the text is the project's own, in five languages, and so is the
//! tokenizer, which is learned from it first. `GPT2_TOKENIZER=FOLDER` measures another one. `compare_tokenizers.py` puts
//! the same calls beside other libraries.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};

const CORPUS: [&str; 5] = [
    include_str!("../examples/corpus/cerita_anak.jsonl"),
    include_str!("../examples/corpus/czech.txt"),
    include_str!("../examples/corpus/english.txt"),
    include_str!("../examples/corpus/japanese.txt"),
    include_str!("../examples/corpus/portuguese.txt"),
];

/// Bytes of the text that is one line.
const LINE: usize = 1 << 20;

fn tokenizer() -> Tokenizer {
    match std::env::var_os("GPT2_TOKENIZER") {
        Some(folder) => Tokenizer::from_folder(folder).expect("GPT2_TOKENIZER holds a tokenizer"),
        None => {
            let options = TrainBpeOptions { vocab_size: 8_000, ..TrainBpeOptions::default() };
            Tokenizer::train_bpe(CORPUS.iter().map(|text| text.to_string()), &options)
                .expect("the corpus is large enough")
        }
    }
}

/// A line of this length: the characters of the corpus that `is_kept` lets through, over and over.
fn line(is_kept: impl Fn(&char) -> bool) -> String {
    let kept: String = CORPUS.iter().flat_map(|text| text.chars()).filter(is_kept).collect();
    let mut line = kept.repeat(LINE.div_ceil(kept.len()));
    line.truncate(line.floor_char_boundary(LINE));
    line
}

fn text(criterion: &mut Criterion) {
    let tokenizer = tokenizer();
    let text = CORPUS.concat();
    let lines: Vec<&str> = text.lines().collect();
    let ids = tokenizer.encode_ids(&text).expect("a complete vocabulary");
    let mut group = criterion.benchmark_group("text");
    group.throughput(Throughput::Bytes(text.len() as u64));
    group
        .bench_function("encode, with offsets", |bencher| bencher.iter(|| tokenizer.encode(&text)));
    group.bench_function("encode_ids", |bencher| bencher.iter(|| tokenizer.encode_ids(&text)));
    group.bench_function("encode_batch of lines", |bencher| {
        bencher.iter(|| tokenizer.encode_batch(&lines));
    });
    group.bench_function("decode", |bencher| bencher.iter(|| tokenizer.decode(&ids, false)));
    group.finish();
}

fn one_line(criterion: &mut Criterion) {
    let tokenizer = tokenizer();
    let mut group = criterion.benchmark_group("a line of 1 MiB");
    group.throughput(Throughput::Bytes(LINE as u64));
    for (name, line) in [
        ("words", line(|c| *c != '\n')),
        ("letters alone", line(|c| c.is_alphabetic())),
        ("spaces", " ".repeat(LINE)),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| tokenizer.encode_ids(&line)));
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default().sample_size(10).warm_up_time(Duration::from_secs(1))
}

criterion_group!(name = benches; config = settings(); targets = text, one_line);
criterion_main!(benches);
