//! Hostile and malformed folders: an error, never a crash, and no code of theirs runs.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use gpt2_core::Gpt2Batch;

use crate::models::{devices, host, try_load};
use crate::root::roots;

/// Begins `why.txt` where an error is the only right answer.
const REFUSE: &str = "Must be refused with an error";

/// What loading a folder gives: nothing, or the error's message. A model that loads is run.
fn outcome(folder: &Path) -> Result<(), String> {
    let (_, device) = devices().remove(0);
    let model = try_load(folder, &device).map_err(|error| error.to_string())?;
    let batch = Gpt2Batch::new(&[vec![1, 2, 3]], model.config(), &device).expect("ids below 16");
    let _ = host(model.forward(&batch));
    Ok(())
}

fn names_the_place(message: &str, folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    message.contains(name)
}

#[test]
fn bad_configurations_and_weights_are_refused_without_a_crash() {
    let mut faults = Vec::new();
    for root in roots() {
        for folder in root.bad_cases() {
            let case = folder.file_name().expect("a name").to_string_lossy().into_owned();
            // Faults of generation defaults and of tokenizers, which this test does not load.
            if ["gen-", "tok-", "sp-"].iter().any(|kind| case.starts_with(kind)) {
                continue;
            }
            let why = std::fs::read_to_string(folder.join("why.txt")).expect("why.txt");
            let case = format!("{} {case}", root.name);
            match catch_unwind(AssertUnwindSafe(|| outcome(&folder))) {
                Err(_) => faults.push(format!("{case}: panics. {why}")),
                Ok(Ok(())) if why.starts_with(REFUSE) => {
                    faults.push(format!("{case}: is accepted. {why}"));
                }
                Ok(Err(message)) if !names_the_place(&message, &folder) => {
                    faults.push(format!("{case}: the message does not say where: {message}"));
                }
                Ok(_) => {}
            }
            for place in [folder.as_path(), Path::new(".")] {
                assert!(!place.join("PWNED").exists(), "{case}: code from the file ran");
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
