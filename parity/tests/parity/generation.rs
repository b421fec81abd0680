//! Ids and scores that `generate` gives, for every case: by every strategy, alone and in a batch, with
//! and without cache, and with guesses.

use std::collections::BTreeSet;

use gpt2_core::{Gpt2, ModelFolder};
use gpt2_infer::logits::PrefixAllowedTokens;
use gpt2_infer::{Error, GenerationConfig, Generator, Sequence, generate};
use serde_json::{Map, Value};

use crate::compare::measured;
use crate::json::{count, ids, items, rows, text};
use crate::models::{devices, load};
use crate::root::roots;
use crate::tolerance::BEAM_SCORE;

/// What a case gives for one of its prompts.
#[derive(Debug)]
struct Wanted {
    /// Without padding.
    prompt: Vec<u32>,
    /// `num_return_sequences` texts without padding in front or behind.
    texts: Vec<Vec<u32>>,
    /// Of beams, as many.
    scores: Vec<f64>,
}

/// Prompts and expected texts without the padding in front and behind.
fn wanted(case: &Value, config: &GenerationConfig) -> Vec<Wanted> {
    let masks = case.get("attention_mask").map(rows);
    let sequences = rows(&case["sequences"]);
    let scores = case.get("sequences_scores").map(items).unwrap_or_default();
    let scores: Vec<f64> = scores.iter().map(|score| score.as_f64().expect("a score")).collect();
    let each = config.num_return_sequences;
    let prompts = rows(&case["input_ids"]);
    assert_eq!(sequences.len(), prompts.len() * each);
    let of_prompt = |(row, prompt): (usize, Vec<u32>)| {
        let mask = masks.as_ref().map(|masks| masks[row].as_slice()).unwrap_or_default();
        let pads = mask.iter().filter(|&&real| real == 0).count();
        let own = row * each..(row + 1) * each;
        Wanted {
            texts: sequences[own.clone()]
                .iter()
                .map(|text| without_padding(text, pads, prompt.len(), config))
                .collect(),
            scores: scores.get(own).unwrap_or_default().to_vec(),
            prompt: prompt[pads..].to_vec(),
        }
    };
    prompts.into_iter().enumerate().map(of_prompt).collect()
}

/// A text up to its first end token; what follows is filling, which beams make of end tokens where the
/// padding token is 0.
fn without_padding(
    text: &[u32],
    pads: usize,
    prompt: usize,
    config: &GenerationConfig,
) -> Vec<u32> {
    let ends = &config.eos_token_id;
    let new = &text[prompt..];
    let kept = new.iter().position(|id| ends.contains(id)).map_or(new.len(), |at| at + 1);
    let filling = |id: &u32| Some(*id) == config.pad_token_id || Some(id) == ends.first();
    assert!(new[kept..].iter().all(filling), "{new:?}");
    text[pads..prompt + kept].to_vec()
}

/// The generator of a case: with a constraint, where it has one.
fn generator(folder: &ModelFolder, model: &Gpt2, case: &Value) -> Generator {
    let mut generator = Generator::new(model);
    if let Some(tokenizer) = folder.tokenizer_if_any().expect("a tokenizer or none") {
        generator = generator.with_tokenizer(&tokenizer);
    }
    if case.get("allowed_when_length_even").is_none() {
        return generator;
    }
    // `[start, step]` are the ids start, start + step, ..., by whether the text's length is even.
    let allowed = ["allowed_when_length_even", "allowed_when_length_odd"].map(|key| {
        let [start, step] = ids(&case[key])[..] else { panic!("{key}") };
        (start, step)
    });
    let vocab = model.config().vocab_size as u32;
    generator.with_prefix_allowed_tokens(PrefixAllowedTokens::new(move |text| {
        let (start, step) = allowed[text.len() % 2];
        (start..vocab).step_by(step as usize).collect()
    }))
}

fn assert_equal(context: &str, found: &[Sequence], wanted: &Wanted) -> f64 {
    let texts: Vec<&[u32]> = found.iter().map(|sequence| sequence.ids.as_slice()).collect();
    assert_eq!(texts, wanted.texts, "{context}");
    assert_eq!(
        found.iter().filter(|sequence| sequence.score.is_some()).count(),
        wanted.scores.len()
    );
    let mut worst = 0.0;
    for (sequence, expected) in found.iter().zip(&wanted.scores) {
        let error = (sequence.score.expect("a score") - expected).abs();
        assert!(
            error <= BEAM_SCORE.allowed(0.0),
            "{context}: {:?} is not {expected}",
            sequence.score
        );
        worst = f64::max(worst, error);
    }
    worst
}

/// With and without cache; in one batch with a longer prompt, and alone; the worst error of a score.
fn check_case(
    context: &str,
    generator: &Generator,
    config: &GenerationConfig,
    case: &Value,
) -> f64 {
    let wanted = wanted(case, config);
    let mut prompts: Vec<Vec<u32>> = wanted.iter().map(|wanted| wanted.prompt.clone()).collect();
    prompts.push([&prompts[0][..1], &prompts[0]].concat());
    let mut worst = 0.0;
    let ways = [(true, None), (false, None), (true, Some(4))];
    // Beams do without guesses.
    let ways = if config.num_beams > 1 { &ways[..2] } else { &ways };
    for &(use_cache, prompt_lookup_num_tokens) in ways {
        let config = GenerationConfig { use_cache, prompt_lookup_num_tokens, ..config.clone() };
        let context = format!("{context}, cache: {use_cache}, {prompt_lookup_num_tokens:?}");
        let run = |prompts: &[Vec<u32>]| {
            generator
                .generate(prompts, &config)
                .unwrap_or_else(|error| panic!("{context}: {error}"))
        };
        let together = run(&prompts);
        for (row, wanted) in wanted.iter().enumerate() {
            let alone = run(std::slice::from_ref(&wanted.prompt)).remove(0);
            for (way, found) in [("batched", &together[row]), ("alone", &alone)] {
                let context = format!("{context}, row {row} {way}");
                worst = f64::max(worst, assert_equal(&context, found, wanted));
            }
        }
    }
    worst
}

#[test]
fn every_generation_case_equals_generate() {
    for root in roots() {
        let whole = root.json("generation.json");
        let cases = items(&whole["cases"]);
        let names: BTreeSet<&str> = cases.iter().map(|case| text(case, "model")).collect();
        for (backend, device) in devices() {
            let (mut checked, mut worst) = (0, 0.0);
            for name in &names {
                let folder = ModelFolder::open(root.model(name)).expect("a folder");
                let model = load(folder.path(), &device);
                let defaults = GenerationConfig::from_pretrained(folder.path(), folder.config());
                let defaults = defaults.expect("good defaults");
                for case in cases.iter().filter(|case| text(case, "model") == *name) {
                    let context = format!("{} {name} {backend} {}", root.name, text(case, "name"));
                    let kwargs = case["kwargs"].as_object().expect("kwargs").clone();
                    let config = defaults.clone().merged(kwargs);
                    let config = config.unwrap_or_else(|error| panic!("{context}: {error}"));
                    let generator = generator(&folder, &model, case);
                    worst = f64::max(worst, check_case(&context, &generator, &config, case));
                    checked += 1;
                }
            }
            assert_eq!(checked, cases.len());
            measured(&format!(
                "beam scores\t{} {backend}: {worst:.1e} of {checked} cases",
                root.name
            ));
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
