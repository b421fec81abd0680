//! Ids that greedy decoding gives, by a loop over the model alone.
//!
//! It shows that the model and its cache continue a text as transformers does, whatever a
//! generation library makes of it.

use burn::tensor::Device;
use gpt2_core::{Gpt2, Gpt2Batch, KvCache};
use serde_json::Value;

use crate::json::{ids, rows};
use crate::models::{devices, host, load};
use crate::root::roots;

/// Options that the loop below knows.
const KNOWN: [&str; 6] =
    ["do_sample", "pad_token_id", "max_new_tokens", "max_length", "use_cache", "eos_token_id"];

fn ends(kwargs: &Value) -> Vec<u32> {
    match &kwargs["eos_token_id"] {
        list @ Value::Array(_) => ids(list),
        // The models' own end token.
        Value::Null => vec![0],
        one => vec![one.as_u64().expect("an id") as u32],
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let better = |best: usize, at: usize| if logits[at] > logits[best] { at } else { best };
    (0..logits.len()).fold(0, better) as u32
}

/// Continues one prompt.
fn greedy(model: &Gpt2, prompt: &[u32], length: usize, ends: &[u32], device: &Device) -> Vec<u32> {
    let mut cache = KvCache::new(model.config(), 1, length, device).expect("room");
    let (mut text, mut piece) = (prompt.to_vec(), prompt.to_vec());
    while text.len() < length {
        let batch = Gpt2Batch::new(&[piece], model.config(), device).expect("good ids");
        let logits = host(model.head(model.hidden_cached(&batch, &mut cache)));
        let next = likeliest(&logits[logits.len() - model.config().vocab_size..]);
        text.push(next);
        if ends.contains(&next) {
            break;
        }
        piece = vec![next];
    }
    text
}

#[test]
fn greedy_ids_equal_generate() {
    for root in roots() {
        let whole = root.json("generation.json");
        let cases = whole["cases"].as_array().expect("cases");
        let plain = |case: &&Value| {
            let kwargs = case["kwargs"].as_object().expect("kwargs");
            kwargs.keys().all(|key| KNOWN.contains(&key.as_str()))
                && case.get("allowed_when_length_even").is_none()
        };
        let cases: Vec<&Value> = cases.iter().filter(plain).collect();
        assert!(cases.len() >= 20, "{}", cases.len());
        for (backend, device) in devices() {
            for case in &cases {
                let name = case["model"].as_str().expect("a model");
                let model = load(&root.model(name), &device);
                check_case(&format!("{} {backend}", root.name), case, &model, &device);
            }
        }
    }
}

/// Each row alone; padding in front and behind is taken off before rows are compared.
fn check_case(context: &str, case: &Value, model: &Gpt2, device: &Device) {
    let kwargs = &case["kwargs"];
    let ends = ends(kwargs);
    let count = |key: &str| kwargs[key].as_u64().map(|count| count as usize);
    for (row, (prompt, expected)) in
        rows(&case["input_ids"]).iter().zip(rows(&case["sequences"])).enumerate()
    {
        let pads = match case.get("attention_mask") {
            Some(mask) => rows(mask)[row].iter().filter(|&&real| real == 0).count(),
            None => 0,
        };
        let length = match (count("max_new_tokens"), count("max_length")) {
            (Some(new), _) => prompt.len() + new,
            (None, most) => most.expect("a length"),
        } - pads;
        let found = greedy(model, &prompt[pads..], length, &ends, device);
        let (expected, filling) = expected[pads..].split_at(found.len());
        let name = format!("{context} {} {} row {row}", case["model"], case["name"]);
        assert_eq!(found, expected, "{name}");
        assert!(filling.iter().all(|&id| id == 0), "{name}: {filling:?}");
    }
}
