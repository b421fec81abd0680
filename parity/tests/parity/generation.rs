//! Ids that `generate` gives, for every case: equal, or refused by an error that names the option.

use std::collections::BTreeSet;

use gpt2_core::{Gpt2, ModelFolder};
use gpt2_infer::{Error, GenerationConfig, generate, next_tokens};
use serde_json::{Map, Value};

use crate::compare::measured;
use crate::json::{count, ids, items, rows, text};
use crate::models::{devices, load};
use crate::root::roots;

/// Options of the cases that this version has; a case with any other must be refused.
const IMPLEMENTED: [&str; 10] = [
    "do_sample",
    "pad_token_id",
    "eos_token_id",
    "max_length",
    "max_new_tokens",
    "min_length",
    "min_new_tokens",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "use_cache",
];

/// What became of a case.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Verdict {
    /// Its ids are equal.
    Equal,
    /// It has an option that this version does not have, and the error says which.
    Refused,
    /// It constrains each step by a function, which here is a loop of the caller; equal, too.
    Constrained,
}

/// The model's defaults, overridden by the options of a case.
fn options(defaults: &GenerationConfig, kwargs: &Map<String, Value>) -> GenerationConfig {
    defaults.clone().merged(kwargs.clone()).unwrap_or_else(|error| panic!("{error}"))
}

fn check_case(context: &str, model: &Gpt2, defaults: &GenerationConfig, case: &Value) -> Verdict {
    let context = format!("{context} {}", text(case, "name"));
    let kwargs = case["kwargs"].as_object().expect("kwargs");
    let absent: Vec<&String> =
        kwargs.keys().filter(|key| !IMPLEMENTED.contains(&key.as_str())).collect();
    if !absent.is_empty() {
        match defaults.clone().merged(kwargs.clone()) {
            Err(Error::NotImplemented { option, .. }) if absent.contains(&&option) => {}
            other => panic!("{context}: expected a refusal of one of {absent:?}, got {other:?}"),
        }
        return Verdict::Refused;
    }
    let config = options(defaults, kwargs);
    if case.get("allowed_when_length_even").is_some() {
        check_constrained(&context, model, &config, case);
        return Verdict::Constrained;
    }
    check_ids(&context, model, &config, case);
    Verdict::Equal
}

/// Prompts and expected texts without the padding in front and behind.
fn without_padding(case: &Value, config: &GenerationConfig) -> Vec<(Vec<u32>, Vec<u32>)> {
    let masks = case.get("attention_mask").map(rows);
    let both = rows(&case["input_ids"]).into_iter().zip(rows(&case["sequences"])).enumerate();
    both.map(|(row, (prompt, expected))| {
        let mask = masks.as_ref().map(|masks| masks[row].as_slice()).unwrap_or_default();
        let pads = mask.iter().filter(|&&real| real == 0).count();
        let is_end = |id: &u32| config.eos_token_id.contains(id);
        let new = &expected[prompt.len()..];
        let kept = new.iter().position(is_end).map_or(new.len(), |at| at + 1);
        assert!(new[kept..].iter().all(|id| Some(*id) == config.pad_token_id), "{new:?}");
        (prompt[pads..].to_vec(), expected[pads..prompt.len() + kept].to_vec())
    })
    .collect()
}

/// With and without cache; in one batch with a longer prompt, so that each row is padded, and alone.
fn check_ids(context: &str, model: &Gpt2, config: &GenerationConfig, case: &Value) {
    let wanted = without_padding(case, config);
    let mut prompts: Vec<Vec<u32>> = wanted.iter().map(|(prompt, _)| prompt.clone()).collect();
    prompts.push([&prompts[0][..1], &prompts[0]].concat());
    for use_cache in [true, false] {
        let config = GenerationConfig { use_cache, ..config.clone() };
        let run = |prompts: &[Vec<u32>]| {
            generate(model, prompts, &config).unwrap_or_else(|error| panic!("{context}: {error}"))
        };
        let together = run(&prompts);
        for (row, (prompt, expected)) in wanted.iter().enumerate() {
            let alone = run(std::slice::from_ref(prompt)).remove(0);
            for (way, found) in [("batched", &together[row]), ("alone", &alone)] {
                let [found] = found.as_slice() else { panic!("{context}: {} texts", found.len()) };
                assert_eq!(&found.ids, expected, "{context} row {row} {way}, cache: {use_cache}");
            }
        }
    }
}

/// The likeliest of the allowed tokens at each step: `[start, step]` are the ids start,
/// start + step, ..., by whether the text's length is even.
fn check_constrained(context: &str, model: &Gpt2, config: &GenerationConfig, case: &Value) {
    let allowed = ["allowed_when_length_even", "allowed_when_length_odd"].map(|key| {
        let [start, step] = ids(&case[key])[..] else { panic!("{context}: {key}") };
        (start, step)
    });
    for (mut text, expected) in without_padding(case, config) {
        for _ in 0..config.max_new_tokens.expect("a length") {
            let (start, step) = allowed[text.len() % 2];
            let candidates = next_tokens(model, &text, model.config().vocab_size, Some(config))
                .unwrap_or_else(|error| panic!("{context}: {error}"));
            let is_allowed = |id: u32| id >= start && (id - start).is_multiple_of(step);
            let best = candidates.iter().find(|candidate| is_allowed(candidate.id));
            text.push(best.expect("an allowed token").id);
        }
        assert_eq!(text, expected, "{context}");
    }
}

#[test]
fn every_generation_case_equals_generate_or_is_refused_by_name() {
    for root in roots() {
        let whole = root.json("generation.json");
        let cases = items(&whole["cases"]);
        let names: BTreeSet<&str> = cases.iter().map(|case| text(case, "model")).collect();
        for (backend, device) in devices() {
            let mut verdicts = Vec::new();
            for name in &names {
                let path = root.model(name);
                let model = load(&path, &device);
                let defaults = GenerationConfig::from_pretrained(&path, model.config());
                let defaults = defaults.expect("good defaults");
                let context = format!("{} {name} {backend}", root.name);
                let own = cases.iter().filter(|case| text(case, "model") == *name);
                verdicts.extend(own.map(|case| check_case(&context, &model, &defaults, case)));
            }
            assert_eq!(verdicts.len(), cases.len());
            let of = |wanted| verdicts.iter().filter(|&&verdict| verdict == wanted).count();
            let found = [Verdict::Equal, Verdict::Constrained, Verdict::Refused].map(of);
            let counts = format!("{} {backend}: equal, constrained, refused {found:?}", root.name);
            measured(&format!("generation cases\t{counts}"));
            assert!(found[0] >= 36, "{found:?}");
        }
    }
}

/// What `transformers` returns or raises where a text reaches the end of the context.
#[test]
fn the_end_of_the_context_is_where_it_is_for_transformers() {
    for root in roots().iter().filter(|root| root.has("context_end.json")) {
        let whole = root.json("context_end.json");
        let folder = ModelFolder::open(root.model(text(&whole, "model"))).expect("a folder");
        let text_ids = ids(&whole["input_ids"]);
        for (backend, device) in devices() {
            let model = folder.model(&device).expect("a model");
            for case in items(&whole["cases"]) {
                let prompt = &text_ids[..count(case, "prompt_length")];
                check_end(&format!("{} {backend} {case}", root.name), &model, case, prompt);
            }
        }
    }
}

fn check_end(context: &str, model: &Gpt2, case: &Value, prompt: &[u32]) {
    let kwargs = match text(case, "call") {
        "generate" => case["kwargs"].as_object().expect("kwargs").clone(),
        // The token after the last one that was read.
        "forward" => Map::from_iter([("max_new_tokens".to_string(), 1.into())]),
        other => panic!("{context}: {other}"),
    };
    let config = GenerationConfig::from_object(kwargs).expect("good options");
    let found = generate(model, &[prompt.to_vec()], &config);
    let expected = match (case.get("argmax_last"), case.get("new_ids")) {
        (Some(id), _) => Some(vec![id.as_u64().expect("an id") as u32]),
        (None, new) => new.map(ids),
    };
    match (found, expected) {
        (Ok(found), Some(expected)) => {
            assert_eq!(found[0][0].continuation(), expected, "{context}");
        }
        // Transformers raises an error: so must this, and say what is too long.
        (Err(Error::Option { option, .. }), None) => {
            assert!(option.starts_with("max_"), "{context}")
        }
        (Err(Error::Prompt { expected, .. }), None) => {
            assert!(expected.contains("n_positions"), "{context}: {expected}");
        }
        (found, expected) => panic!("{context}: {found:?}, expected {expected:?}"),
    }
}
