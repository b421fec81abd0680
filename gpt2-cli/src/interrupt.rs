//! SIGINT and SIGTERM: work saves what is done and ends.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// How often the first signal is looked for, and for how long a further one is taken for the same: `timeout`
/// and wrappers that hand signals on send each twice, to the process and to its group.
const TWIN: Duration = Duration::from_millis(200);

/// Whether the process has been asked to end.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// The signal that stands for a key of the dashboard.
    pub const KEY: u8 = SIGINT as u8;

    /// Listens from now on. A second signal, a moment later, ends the process at once, for those who cannot
    /// wait.
    pub fn listen() -> std::io::Result<Self> {
        let (signal, is_armed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for number in [SIGINT, SIGTERM] {
            flag::register_conditional_shutdown(number, 128 + number, is_armed.clone())?;
            flag::register_usize(number, signal.clone(), number as usize)?;
        }
        let interrupt = Self(signal);
        let waiting = interrupt.clone();
        thread::Builder::new().name("interrupt".to_string()).spawn(move || {
            while waiting.signal().is_none() {
                thread::sleep(TWIN);
            }
            thread::sleep(TWIN);
            is_armed.store(true, Ordering::Relaxed);
        })?;
        Ok(interrupt)
    }

    /// The signal that came, if one did.
    pub fn signal(&self) -> Option<u8> {
        u8::try_from(self.0.load(Ordering::Relaxed)).ok().filter(|&signal| signal > 0)
    }
}

/// Work that ended because it was asked to; the process's exit code says by which signal.
#[derive(Debug)]
pub struct Interrupted {
    /// The signal's number.
    pub signal: u8,
    /// What was done, and how it goes on.
    pub what: String,
}

impl Interrupted {
    /// A training run, after so many optimizer steps, with the checkpoint to go on from, where one was written.
    pub fn run(signal: u8, step: usize, checkpoint: Option<&Path>) -> Self {
        let what = match checkpoint {
            Some(path) => format!("step {step}; `--resume` goes on from {}", path.display()),
            None => format!("step {step}, before there was anything to save"),
        };
        Self { signal, what }
    }

    /// 128 and the signal's number, as shells have it.
    pub fn exit_code(&self) -> u8 {
        128 + self.signal
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interrupted after {}", self.what)
    }
}

impl std::error::Error for Interrupted {}
