//! Bugs, told as errors are: in one line, with exit code 1.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Mutex, PoisonError};

use crate::commands::Outcome;

/// Runs a command; a panic becomes its error. With `RUST_BACKTRACE` set, panics also print what they always do.
pub fn caught(command: impl FnOnce() -> Outcome) -> Outcome {
    static LAST: Mutex<String> = Mutex::new(String::new());
    let usual = panic::take_hook();
    let wants_trace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    // A GPU's runtime panics on threads of its own, for what the libraries report as errors.
    panic::set_hook(Box::new(move |info| {
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        if wants_trace {
            usual(info);
        }
    }));
    panic::catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|_| {
        let last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        let told = last.lines().collect::<Vec<_>>().join(" ");
        Err(format!("this is a bug of gpt2, or the device failed: {told}").into())
    })
}
