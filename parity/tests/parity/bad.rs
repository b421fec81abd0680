//! Hostile and malformed folders: an error, never a crash, and no code of theirs runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use gpt2_core::ModelFolder;
use gpt2_infer::{GenerationConfig, generate};
use serde_json::Map;

use crate::compare::measured;
use crate::models::devices;
use crate::root::roots;

/// Begins `why.txt` where an error is the only right answer.
const REFUSE: &str = "Must be refused";

/// What using a folder gives: nothing, or the error's message.
type Outcome = Result<(), String>;

fn message(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Uses that part of a folder which its name says is bad.
fn outcome(folder: &Path, name: &str) -> Outcome {
    match name.split('-').next() {
        Some("config" | "st" | "index" | "bin" | "h5") => {
            generates(folder, GenerationConfig::default())
        }
        Some("gen") => generates_by_its_defaults(folder),
        Some("tok" | "sp") => encodes(folder),
        _ => panic!("of no kind that this test knows"),
    }
}

/// A model that loads is run: what it computes must be an error or defined, too.
fn generates(folder: &Path, options: GenerationConfig) -> Outcome {
    let (_, device) = devices().remove(0);
    let model = ModelFolder::open(folder).and_then(|folder| folder.model(&device));
    let model = model.map_err(message)?;
    let options = GenerationConfig { max_new_tokens: Some(3), max_length: None, ..options };
    generate(&model, &[vec![1, 2, 3]], &options).map(|_| ()).map_err(message)
}

fn generates_by_its_defaults(folder: &Path) -> Outcome {
    let config = ModelFolder::open(folder).map_err(message)?.config().clone();
    let sampling = Map::from_iter([("do_sample".to_string(), true.into())]);
    let options = GenerationConfig::from_pretrained(folder, &config)
        .and_then(|options| options.merged(sampling))
        .map_err(message)?;
    options.validate(&config).map_err(message)?;
    generates(folder, options)
}

/// A tokenizer that loads is used: a text is ids or an error, ids are a text.
fn encodes(folder: &Path) -> Outcome {
    let folder = ModelFolder::open(folder).map_err(message)?;
    let tokenizer = folder.tokenizer().map_err(|error| {
        // A bad tokenizer is not the same as none.
        assert!(folder.tokenizer_if_any().is_err(), "passed over: {error}");
        message(error)
    })?;
    for text in ["nasi goreng", "zig-zag", "日本語 🙂", "\u{0}\u{ffff}", "<|endoftext|>"] {
        if let Ok(ids) = tokenizer.encode_ids(text) {
            assert!(ids.iter().all(|&id| (id as usize) < folder.config().vocab_size));
            assert_eq!(tokenizer.decode(&ids, false).map_err(message)?, text);
        }
    }
    let every: Vec<u32> = (0..tokenizer.max_id() + 3).chain([u32::MAX]).collect();
    tokenizer.decode(&every, true).map(|_| ()).map_err(message)
}

/// What a message has to contain: the field for generation defaults, else the folder.
fn place<'a>(name: &'a str, why: &'a str) -> &'a str {
    let field = why.split_once(" sets ").and_then(|(_, rest)| rest.split_once(" to "));
    match field {
        Some((field, _)) if name.starts_with("gen-") => field,
        _ => name,
    }
}

/// Runs one case; the fault, if there is one.
fn fault(folder: &Path) -> Option<String> {
    let name = folder.file_name().expect("a name").to_string_lossy();
    let why = std::fs::read_to_string(folder.join("why.txt")).expect("why.txt");
    match catch_unwind(AssertUnwindSafe(|| outcome(folder, &name))) {
        Err(_) => Some(format!("{name}: panics. {why}")),
        Ok(Ok(())) if why.starts_with(REFUSE) => Some(format!("{name}: is accepted. {why}")),
        Ok(Err(message)) if !message.contains(place(&name, &why)) => {
            Some(format!("{name}: the message does not say where: {message}"))
        }
        Ok(_) => None,
    }
}

/// Every case of every root, with the root's name.
fn cases() -> Vec<(&'static str, PathBuf)> {
    let of = |root: &'static crate::root::Root| {
        root.bad_cases().into_iter().map(|folder| (root.name.as_str(), folder))
    };
    roots().iter().flat_map(of).collect()
}

#[test]
fn bad_folders_are_refused_without_a_crash() {
    let cases = cases();
    let mut faults = Vec::new();
    for (root, folder) in &cases {
        faults.extend(fault(folder).map(|fault| format!("{root} {fault}")));
        for place in [folder.as_path(), Path::new(".")] {
            assert!(!place.join("PWNED").exists(), "{}: its code ran", folder.display());
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn text_that_a_vocabulary_lacks_is_an_error_and_other_text_is_not() {
    for root in roots() {
        let folder = ModelFolder::open(root.bad_case("tok-missing-byte")).expect("a good config");
        let tokenizer = folder.tokenizer().expect("a vocabulary that lacks a byte");
        let error = tokenizer.encode("nasi zig").expect_err("z is not in the vocabulary");
        assert!(error.to_string().contains('z'), "{}: {error}", root.name);
        assert!(tokenizer.encode("nasi").is_ok(), "{}", root.name);
    }
}

/// The peak counts whatever other tests do meanwhile, so it can only be too high.
#[cfg(target_os = "linux")]
#[test]
fn hostile_files_take_less_than_a_gibibyte() {
    for (_, folder) in cases() {
        let _ = fault(&folder);
    }
    let status = std::fs::read_to_string("/proc/self/status").expect("the state of this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    measured(&format!("peak memory\t{kibibytes} KiB\t{} bad folders", cases().len()));
    assert!(kibibytes < 1024 * 1024, "{kibibytes} KiB");
}
