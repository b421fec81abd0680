//! `gpt2 devices`.

use gpt2_core::device::{self, DeviceInfo};
use serde_json::{Value, json};

use super::Outcome;
use crate::args::Global;
use crate::output;

/// Lists the devices, the default first.
pub fn run(global: &Global) -> Outcome {
    for info in device::available() {
        // What a host's backend reads from the environment is an error here as it is anywhere else. A GPU need not be opened to
        // be listed.
        if info.adapter.is_none() {
            device::by_name(&info.name)?;
        }
        if global.json {
            output::json(&object(&info))?;
        } else {
            output::line(line(&info))?;
        }
    }
    Ok(())
}

fn object(info: &DeviceInfo) -> Value {
    let mut object = json!({ "name": info.name, "kind": info.kind, "default": info.default });
    if let Some(adapter) = &info.adapter {
        object["adapter"] = json!(adapter.name);
        object["api"] = json!(adapter.api);
        object["driver"] = json!(adapter.driver);
    }
    object
}

fn line(info: &DeviceInfo) -> String {
    let what = match &info.adapter {
        Some(adapter) if adapter.driver.is_empty() => format!("{}, {}", adapter.name, adapter.api),
        Some(adapter) => format!("{}, {}, {}", adapter.name, adapter.api, adapter.driver),
        None => device::instructions(&info.name).unwrap_or_default().to_string(),
    };
    let mark = if info.default { "(default)" } else { "" };
    let line = format!("{:<8} {:<14} {what:<11} {mark}", info.name, info.kind);
    line.trim_end().to_string()
}
