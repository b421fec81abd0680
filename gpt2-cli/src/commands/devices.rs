//! `gpt2 devices`.

use gpt2_core::device;
use serde_json::json;

use super::Outcome;
use crate::args::Global;
use crate::output;

/// Lists the devices, the default first.
pub fn run(global: &Global) -> Outcome {
    for info in device::available() {
        // A device that could not be had is an error here as it is anywhere else.
        device::by_name(info.name)?;
        if global.json {
            let object = json!({ "name": info.name, "kind": info.kind, "default": info.default });
            output::json(&object)?;
        } else {
            let instructions = device::instructions(info.name).unwrap_or_default();
            let mark = if info.default { "(default)" } else { "" };
            let line = format!("{:<8} {:<4} {instructions:<11} {mark}", info.name, info.kind);
            output::line(format_args!("{}", line.trim_end()))?;
        }
    }
    Ok(())
}
