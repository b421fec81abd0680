//! `gpt2 devices`.

use gpt2_core::device;
use serde_json::json;

use super::Outcome;
use crate::args::Global;
use crate::output;

/// Lists the devices, the default first.
pub fn run(global: &Global) -> Outcome {
    for info in device::available() {
        if global.json {
            let object = json!({ "name": info.name, "kind": info.kind, "default": info.default });
            output::json(&object)?;
        } else {
            let mark = if info.default { "  (default)" } else { "" };
            output::line(format_args!("{:<8} {}{mark}", info.name, info.kind))?;
        }
    }
    Ok(())
}
