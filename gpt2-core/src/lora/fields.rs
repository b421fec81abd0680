//! `adapter_config.json`, field by field.

use serde_json::{Map, Value, json};

use super::LoraConfig;
use crate::config::{Fields, shown};
use crate::{Error, Result};

/// `peft_type` of the only kind of adapter that this crate knows.
const PEFT_TYPE: &str = "LORA";

/// Fields that change no number of a GPT-2 that is loaded, whatever they hold.
const IDLE: [&str; 10] = [
    "auto_mapping",
    "base_model_name_or_path",
    // A GPT-2 stores all its matrices alike; PEFT corrects the field where it is wrong.
    "fan_in_fan_out",
    "inference_mode",
    "megatron_core",
    "peft_version",
    // The size of a group of `use_qalora`, which has to be off.
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Ways to initialize that leave the base model's weights as they are.
const INITIAL: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// Takes a configuration from its JSON object.
pub(super) fn read(object: Map<String, Value>) -> Result<LoraConfig> {
    let mut fields = Fields::new(object);
    let kind = fields.optional_string("peft_type")?;
    if kind.as_deref() != Some(PEFT_TYPE) {
        let found = kind.map_or("absent".to_string(), |kind| format!("\"{kind}\""));
        return Err(Error::field("peft_type", found, format!("\"{PEFT_TYPE}\"")));
    }
    let initial =
        "true, false or a way that leaves the model's weights alone (gaussian, orthogonal, eva)";
    fields.parse("init_lora_weights", (), initial, |value| match value {
        Value::Bool(_) => Some(()),
        Value::String(way) => INITIAL.contains(&way.as_str()).then_some(()),
        _ => None,
    })?;
    fields.parse("bias", (), "\"none\"", |value| (value == "none").then_some(()))?;
    let default = LoraConfig::default();
    let names = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|name| name.as_str().map(str::to_string)).collect()
    };
    let targets = "a list of module names, or null for c_attn";
    let config = LoraConfig {
        r: fields.usize("r", default.r)?,
        lora_alpha: fields.f64("lora_alpha", default.lora_alpha)?,
        lora_dropout: fields.f64("lora_dropout", default.lora_dropout)?,
        target_modules: fields
            .parse_or_null("target_modules", None, targets, names)?
            .unwrap_or(default.target_modules),
        use_rslora: fields.bool("use_rslora", default.use_rslora)?,
    };
    let on = |(name, value): &(String, Value)| !IDLE.contains(&name.as_str()) && !is_off(value);
    if let Some((name, value)) = fields.rest().into_iter().find(on) {
        let expected = "null, false or empty: this version does not support it";
        return Err(Error::field(&name, shown(&value), expected));
    }
    config.validate()?;
    Ok(config)
}

/// Whether a field that is not known asks for nothing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The object that PEFT reads, for a base model of this name.
pub(super) fn to_json(config: &LoraConfig, base_model: Option<&str>) -> Value {
    json!({
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": true,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "modules_to_save": null,
        "peft_type": PEFT_TYPE,
        "r": config.r,
        "target_modules": config.target_modules,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": config.use_rslora,
    })
}
