//! `gpt2 info`.

use super::support::{Place, keys, model, read_json};
use serde_json::json;

#[test]
fn info_says_what_is_in_a_folder_of_any_format() {
    let place = Place::new();
    let published = read_json(format!("{}/config.json", model("bbpe")).as_ref());
    for (name, format, dtype, files) in [
        ("bbpe", "safetensors", "F32", json!(["model.safetensors"])),
        ("bbpe-f16", "safetensors", "F16", json!(["model.safetensors"])),
        ("bbpe-bf16", "safetensors", "BF16", json!(["model.safetensors"])),
        ("bbpe-bin", "pytorch", "F32", json!(["pytorch_model.bin"])),
        ("bbpe-bin-legacy", "pytorch", "F32", json!(["pytorch_model.bin"])),
        ("bbpe-h5", "tensorflow", "F32", json!(["tf_model.h5"])),
    ] {
        let info = place.json(&["info", &model(name)]);
        assert_eq!(keys(&info), ["config", "parameters", "tokenizer", "weights"]);
        assert_eq!(info["tokenizer"], json!({"kind": "bbpe", "vocab_size": 384}), "{name}");
        let weights = json!({"format": format, "dtype": dtype, "files": files});
        assert_eq!(info["weights"], weights, "{name}");
        for key in ["n_embd", "n_layer", "n_head", "n_positions", "vocab_size"] {
            assert_eq!(info["config"][key], published[key], "{name}: {key}");
        }
    }
    let sharded = place.json(&["info", &model("bbpe-sharded")]);
    assert_eq!(sharded["weights"]["files"].as_array().unwrap().len(), 3);
}

#[test]
fn a_tied_head_counts_once() {
    let place = Place::new();
    let count = |name| place.json(&["info", &model(name)])["parameters"].as_u64().unwrap();
    let config = read_json(format!("{}/config.json", model("variants/untied")).as_ref());
    let head = config["vocab_size"].as_u64().unwrap() * config["n_embd"].as_u64().unwrap();
    assert_eq!(count("variants/untied"), count("variants/gelu") + head);
}

#[test]
fn people_get_a_list() {
    let text = Place::new().ok(&["info", &model("bbpe")]).stdout;
    for part in ["parameters   ", "tokenizer    bbpe, 384 tokens", "weights      safetensors, F32"]
    {
        assert!(text.contains(part), "{text}");
    }
}
