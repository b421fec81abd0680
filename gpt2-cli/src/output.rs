//! Printing: JSON lines for programs, text for people.

use std::io::{self, Write};

use serde::Serialize;

/// One JSON object on a line of standard output.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, value)?;
    out.write_all(b"\n")
}

/// One line of text on standard output.
pub fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Names and their values, one below the other.
pub fn list<const N: usize>(rows: [(&str, String); N]) -> String {
    rows.map(|(name, value)| format!("{name:<12} {value}")).join("\n")
}

/// A piece of text on standard output, at once.
pub fn piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether an error only says that nobody reads standard output any more.
pub fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let kind = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    std::iter::successors(Some(error), |error| error.source())
        .any(|error| error.downcast_ref::<io::Error>().is_some_and(kind))
}
