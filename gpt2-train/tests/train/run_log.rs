//! What a run leaves in its folder, also when it was interrupted.

use std::fs;
use std::path::Path;

use gpt2_core::Gpt2Config;
use gpt2_train::data::blocks;
use gpt2_train::record::StepRecord;
use gpt2_train::report::{MetricsRecord, Report, RunLog, Sample, SampleRecord, read_metrics};
use gpt2_train::{Callback, Dataset, Event, Recipe, Trainer, TrainingConfig};

use super::events::{epoch, evaluated, evaluation, model, started, step};

fn report(name: &str, summary: &str) -> Report {
    let options = TrainingConfig::default();
    Report::new(name, summary, &options, &Recipe::from(&options))
}

fn sample(text: &str) -> Vec<Sample> {
    vec![Sample { prompt: "Ibu".to_string(), text: text.to_string() }]
}

/// Has a log of its own, as a process has, hear of events.
fn tell(folder: &Path, text: &str, events: &[Event]) {
    let log = RunLog::new(folder, report("A run", "Of a test."));
    let mut log = log.with_samples(|_| Ok(sample(text)));
    let model = model();
    for event in events {
        log.on_event(event, &model).unwrap();
    }
    log.finish().unwrap();
}

fn page(folder: &Path) -> String {
    fs::read_to_string(folder.join("report.html")).unwrap()
}

fn samples(folder: &Path) -> Vec<SampleRecord> {
    let text = fs::read_to_string(folder.join("samples.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_same_files(a: &Path, b: &Path) {
    for name in ["metrics.jsonl", "epochs.jsonl", "samples.jsonl"] {
        let read = |folder: &Path| fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read(a), read(b), "{name}");
    }
    assert_eq!(page(a), page(b));
}

#[test]
fn a_real_run_is_written_down_whole() {
    let config = model().config().clone();
    let data = |examples: usize| {
        let stream: Vec<u32> = (0..examples * 16).map(|at| (at * at % 40) as u32).collect();
        Dataset::new("training", blocks(&[stream], None, 16), &config).unwrap()
    };
    let options = TrainingConfig {
        num_train_epochs: 2.0,
        per_device_batch_size: 2,
        eval_on_start: true,
        ..TrainingConfig::default()
    };
    let home = tempfile::tempdir().unwrap();
    let report = Report::new("Squares", "They end in 0.", &options, &Recipe::from(&options));
    let mut asked = 0;
    let sampler = |model: &gpt2_core::Gpt2| {
        asked += 1;
        assert!(!model.device().is_autodiff());
        Ok(sample(&format!(" no. {asked}")))
    };
    let mut log = RunLog::new(home.path(), report).with_samples(sampler);
    let (train, valid) = (data(6), data(2));
    let trainer = Trainer::new(options).unwrap();
    let outcome = trainer.run(model(), &train, Some(&valid), &mut log).unwrap();
    log.finish().unwrap();
    let records = read_metrics(home.path().join("metrics.jsonl")).unwrap();
    let steps = records.iter().filter(|record| matches!(record, MetricsRecord::Step(_))).count();
    assert_eq!((steps, records.len()), (6, 9));
    assert_eq!(samples(home.path()).len(), 3);
    let page = page(home.path());
    for row in gpt2_train::report::markdown_table(&outcome.epochs).lines().skip(2) {
        for cell in row.replace('*', "").split('|').map(str::trim).filter(|cell| !cell.is_empty()) {
            assert!(page.contains(&format!("<td>{cell}</td>")), "{cell}\n{page}");
        }
    }
    for part in ["<h1>Squares</h1>", "They end in 0.", "<b>Ibu</b> no. 3", "<b>Ibu</b> no. 1"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn a_sequence_length_is_that_of_the_tokens_own_sequence() {
    let config = model().config().clone();
    let rows = [4u32, 12].map(|length| (0..length).collect::<Vec<u32>>());
    let train = rows.map(gpt2_train::Example::new).to_vec();
    let train = Dataset::new("training", train, &config).unwrap();
    let options = TrainingConfig { max_steps: Some(1), ..TrainingConfig::default() };
    let mut found = None;
    Trainer::new(options)
        .unwrap()
        .run(model(), &train, None, &mut |event: &Event, _: &gpt2_core::Gpt2| {
            if let Event::Step(record) = event {
                found = Some(*record);
            }
            Ok(gpt2_train::Control::Continue)
        })
        .unwrap();
    assert_eq!(found.map(|record| record.sequence_length), Some(10.0)); // (4 * 4 + 12 * 12) / 16
}

#[test]
fn a_run_that_was_killed_and_went_on_leaves_what_an_uninterrupted_one_does() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rest =
        [step(5), step(6), evaluated(6, 2.5), step(7), step(8), evaluated(8, 2.0), epoch(8, 2.0)];
    let first: Vec<Event> = [started(0, 8), evaluated(0, 9.0), epoch(0, 9.0)]
        .into_iter()
        .chain((1..=4).map(step))
        .chain([evaluated(4, 3.0), epoch(4, 3.0)])
        .collect();
    tell(whole.path(), " tidur", &[&first[..], &rest].concat());

    tell(broken.path(), " tidur", &[&first[..], &rest[..3]].concat());
    // Killed in the middle of a line, after the evaluation of step 6; the checkpoint is of step 4
    // and was written before the evaluation there, which is done once more.
    let metrics = broken.path().join("metrics.jsonl");
    let torn = fs::read_to_string(&metrics).unwrap() + "{\"step\":7,\"epo";
    fs::write(&metrics, torn).unwrap();
    let again = [&[started(4, 8), evaluated(4, 3.0), epoch(4, 3.0)][..], &rest].concat();
    tell(broken.path(), " tidur", &again);
    assert_same_files(whole.path(), broken.path());
}

#[test]
fn a_run_that_is_refused_leaves_the_page_of_the_one_before() {
    let home = tempfile::tempdir().unwrap();
    tell(home.path(), " tidur", &[started(0, 1), step(1), evaluated(1, 2.0), epoch(1, 2.0)]);
    let before = page(home.path());
    tell(home.path(), "", &[]);
    assert_eq!(page(home.path()), before);
}

#[test]
fn a_perplexity_that_is_no_number_is_read_back() {
    let home = tempfile::tempdir().unwrap();
    tell(home.path(), "", &[started(0, 1), step(1), evaluated(1, 800.0)]);
    let records = read_metrics(home.path().join("metrics.jsonl")).unwrap();
    let MetricsRecord::Evaluation(found) = records[1] else { panic!("{records:?}") };
    assert_eq!(found.eval_loss, 800.0);
    assert!(found.eval_perplexity.is_nan());
    tell(home.path(), "", &[started(1, 1)]);
    assert!(page(home.path()).contains("800"));
}

/// Text that would run, load or break out if it stood in the page as it is.
const HOSTILE: [&str; 6] = [
    "</script><img src=x onerror=alert(1)>",
    "</style><script>alert(1)</script>",
    "\"><svg onload=alert(1)>",
    "</blockquote></details><iframe src=\"https://example.com\">",
    "<!-- <b>bold</b> & &lt; -->",
    "</title></html><meta http-equiv=\"refresh\" content=\"0;url=https://example.com\">",
];

#[test]
fn hostile_text_is_inert_wherever_it_stands() {
    let home = tempfile::tempdir().unwrap();
    for text in HOSTILE {
        let log = RunLog::new(home.path(), report(text, text));
        let hostile = Sample { prompt: text.to_string(), text: text.to_string() };
        let mut log = log.with_samples(|_| Ok(vec![hostile.clone()]));
        for event in [started(0, 1), step(1), evaluated(1, 2.0)] {
            log.on_event(&event, &model()).unwrap();
        }
        drop(log);
        let page = page(home.path());
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let escaped = escaped.replace('"', "&quot;");
        assert!(!page.contains(text), "{text}\n{page}");
        assert_eq!(page.matches(&escaped).count(), 5, "{text}\n{page}"); // title, h1, summary, b, text
        for tag in ["<script", "<img", "<iframe", "<svg on", "url="] {
            assert!(!page.replace(&escaped, "").contains(tag), "{tag}\n{page}");
        }
    }
}

#[test]
fn a_page_is_one_file_that_loads_nothing() {
    let home = tempfile::tempdir().unwrap();
    tell(home.path(), " tidur", &[started(0, 1), step(1), evaluated(1, 2.0), epoch(1, 2.0)]);
    let page = page(home.path());
    assert!(page.contains("default-src 'none'"), "{page}");
    for other in ["http://", "https://", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(other), "{other}\n{page}");
    }
}

#[test]
fn a_page_of_a_million_steps_is_small() {
    let mut report = report("Long", "");
    let config = Gpt2Config::gpt2();
    report.note(&started(0, 1_000_000), &config);
    for number in 1..=1_000_000 {
        let Event::Step(record) = step(number) else { panic!() };
        let loss = 3.0 + (number * 7919 % 1000) as f64 / 1000.0;
        let (grad_norm, lowest_learning_rate) = ((number % 97 + 1) as f64, 1e-5);
        let record = StepRecord { loss, grad_norm, lowest_learning_rate, ..record };
        report.note(&Event::Step(record), &config);
        if number % 100 == 0 {
            report.note(&Event::Evaluated(evaluation(number, 3.0)), &config);
            let texts = sample(&"kata ".repeat(200)).into_iter();
            let record = |sample| SampleRecord { step: number, epoch: 1.0, sample };
            report.note_samples(texts.map(record).collect());
        }
    }
    let page = report.html();
    assert!(page.len() < 400_000, "{} bytes", page.len());
    assert!(page.contains("of 1000000"));
    assert!(page.contains("Step 100,") && page.contains("Step 1000000,"), "first and last samples");
    assert!(!page.contains("Step 500000,"));
}

#[test]
fn an_error_of_the_sampler_ends_the_run_and_names_the_step() {
    let home = tempfile::tempdir().unwrap();
    let log = RunLog::new(home.path(), report("", ""));
    let mut log = log.with_samples(|_| Err("the prompt is too long".into()));
    let error = log.on_event(&evaluated(3, 2.0), &model()).unwrap_err().to_string();
    assert_eq!(error, "no samples at step 3: the prompt is too long");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let mut log = RunLog::new(file.join("log"), report("", ""));
    let start = Event::Started { step: 0, evaluated: None, total_steps: 1 };
    let error = log.on_event(&start, &model()).unwrap_err().to_string();
    assert!(error.contains("file/log: cannot create"), "{error}");
}
