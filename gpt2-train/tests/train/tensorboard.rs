//! Event files, read by a reader that shares nothing with their writer; that it reads rightly shows
//! in a file of PyTorch's `SummaryWriter` (`tests/fixtures/make_tfevents.py`).

use std::fs;
use std::path::Path;

use gpt2_train::report::{Report, RunLog, Sample, TensorBoardWriter};
use gpt2_train::{Callback, Event, Recipe, TrainingConfig};

use super::events::{evaluated, model, started, step};

const OF_TORCH: &[u8] = include_bytes!("../fixtures/torch.tfevents");

/// What an event file says.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Version(String),
    /// Events from this step on, in earlier files, are void.
    Start(u64),
    Scalar(u64, String, f32),
    Texts(u64, String, Vec<String>),
}

/// CRC-32C bit by bit, as RFC 3720 defines it, and TFRecord's mask.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    let crc: u32 = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The messages of a file, both check sums of each checked.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let (crc, rest) = rest.split_at(4);
        assert_eq!(u32::from_le_bytes(crc.try_into().unwrap()), masked_crc(length));
        let length = u64::from_le_bytes(length.try_into().unwrap());
        let (message, rest) = rest.split_at(length as usize);
        let (crc, rest) = rest.split_at(4);
        assert_eq!(u32::from_le_bytes(crc.try_into().unwrap()), masked_crc(message));
        messages.push(message);
        bytes = rest;
    }
    messages
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (first, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            break;
        }
    }
    value
}

/// The fields of a protocol buffer: number, and content as the wire has it.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                let value = varint(&mut bytes);
                fields.push((key >> 3, value.to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            kind => panic!("wire type {kind}"),
        };
        let (content, rest) = bytes.split_at(length);
        fields.push((key >> 3, content.to_vec()));
        bytes = rest;
    }
    fields
}

fn field(bytes: &[u8], number: u64) -> Option<Vec<u8>> {
    fields(bytes).into_iter().find(|field| field.0 == number).map(|field| field.1)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn said(file: &[u8]) -> Vec<Said> {
    let mut said = Vec::new();
    for message in messages(file) {
        let wall_time = f64::from_bits(number(&field(message, 1).unwrap()));
        assert!(wall_time > 1.7e9, "{wall_time}");
        let step = field(message, 2).map_or(0, |step| number(&step));
        if let Some(version) = field(message, 3) {
            said.push(Said::Version(text(version)));
        }
        if let Some(session) = field(message, 7) {
            assert_eq!(number(&field(&session, 1).unwrap()), 1, "START");
            said.push(Said::Start(step));
        }
        let summary = field(message, 5).unwrap_or_default();
        for (_, value) in fields(&summary).into_iter().filter(|value| value.0 == 1) {
            let tag = text(field(&value, 1).unwrap());
            if let Some(scalar) = field(&value, 2) {
                let scalar = f32::from_le_bytes(scalar.try_into().unwrap());
                said.push(Said::Scalar(step, tag, scalar));
            } else {
                said.push(Said::Texts(step, tag, texts(&value)));
            }
        }
    }
    said
}

/// The strings of a text summary.
fn texts(value: &[u8]) -> Vec<String> {
    let plugin = field(&field(value, 9).unwrap(), 1).unwrap();
    assert_eq!(text(field(&plugin, 1).unwrap()), "text");
    let tensor = field(value, 8).unwrap();
    assert_eq!(number(&field(&tensor, 1).unwrap()), 7, "DT_STRING");
    let size = field(&field(&field(&tensor, 2).unwrap(), 2).unwrap(), 1).unwrap();
    let strings = fields(&tensor).into_iter().filter(|field| field.0 == 8);
    let texts: Vec<String> = strings.map(|field| text(field.1)).collect();
    assert_eq!(number(&size), texts.len() as u64);
    texts
}

fn scalar(step: u64, tag: &str, value: f32) -> Said {
    Said::Scalar(step, tag.to_string(), value)
}

/// What the files of a folder say, in the order in which TensorBoard reads them.
fn files(folder: &Path) -> Vec<Vec<Said>> {
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("events.out.tfevents."), "{name}");
    }
    paths.iter().map(|path| said(&fs::read(path).unwrap())).collect()
}

fn tell(writer: &mut dyn Callback, events: &[Event]) {
    let model = model();
    for event in events {
        writer.on_event(event, &model).unwrap();
    }
}

#[test]
fn the_reader_of_these_tests_reads_what_pytorch_writes() {
    let found = said(OF_TORCH);
    let text = "Nenek menanam tomat.".to_string();
    assert_eq!(
        found[found.len() - 4..],
        [
            Said::Start(3),
            scalar(3, "train/loss", 2.5),
            scalar(3, "eval/loss", 2.25),
            Said::Texts(3, "samples/text_summary".to_string(), vec![text]),
        ]
    );
    assert_eq!(found[0], Said::Version("brain.Event:2".to_string()));
}

#[test]
fn event_files_have_the_tags_of_the_trainer() {
    let home = tempfile::tempdir().unwrap();
    let mut writer = TensorBoardWriter::new(home.path().join("runs"));
    tell(&mut writer, &[started(0, 2), step(1), evaluated(1, 2.0)]);
    assert_eq!(
        files(&home.path().join("runs")),
        [vec![
            Said::Version("brain.Event:2".to_string()),
            Said::Start(0),
            scalar(1, "train/loss", 4.0),
            scalar(1, "train/grad_norm", 0.5),
            scalar(1, "train/learning_rate", 1e-3),
            scalar(1, "train/epoch", 0.25),
            scalar(1, "train/tokens_per_second", 128.0),
            scalar(1, "eval/loss", 2.0),
            scalar(1, "eval/accuracy", 0.5),
            scalar(1, "eval/perplexity", 2f32.exp()),
            scalar(1, "eval/runtime", 1.5),
        ]]
    );
}

#[test]
fn a_run_that_goes_on_voids_the_steps_that_it_makes_again() {
    let home = tempfile::tempdir().unwrap();
    let mut first = TensorBoardWriter::new(home.path());
    tell(&mut first, &[started(0, 4), step(1), step(2), step(3)]);
    for _ in 0..2 {
        // Within the second of the first, whose file must come before these all the same.
        let mut next = TensorBoardWriter::new(home.path());
        tell(&mut next, &[started(2, 4), step(3)]);
    }
    let files = files(home.path());
    assert_eq!(files.len(), 3);
    assert_eq!(files[0][1], Said::Start(0));
    assert_eq!((&files[1][1], &files[2][1]), (&Said::Start(3), &Said::Start(3)));
}

#[test]
fn samples_are_texts() {
    let home = tempfile::tempdir().unwrap();
    let options = TrainingConfig::default();
    let report = Report::new("", "", &options, &Recipe::from(&options));
    let sample = |text: &str| Sample { prompt: "Nenek".to_string(), text: text.to_string() };
    let mut log = RunLog::new(home.path(), report).with_tensorboard();
    log = log.with_samples(|_| Ok(vec![sample(" tidur."), sample(" pergi.")]));
    tell(&mut log, &[started(0, 2), evaluated(0, 5.0)]);
    let said = &files(&home.path().join("runs"))[0];
    let texts = vec!["Nenek tidur.".to_string(), "Nenek pergi.".to_string()];
    assert_eq!(said.last(), Some(&Said::Texts(0, "samples/text_summary".to_string(), texts)));
}
