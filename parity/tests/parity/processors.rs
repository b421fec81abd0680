//! Scores after each processor, alone and in the lists that `generate` builds.

use gpt2_infer::logits::{
    EXCLUDED, LogitsProcessor, LogitsProcessors, MinLength, MinNewTokens, NoRepeatNGram,
    RepetitionPenalty, Temperature, TopK, TopP,
};
use gpt2_infer::{Error, GenerationConfig, next_tokens};
use serde_json::{Map, Value, json};

use crate::compare::{assert_close, everywhere};
use crate::json::{count, ids, items, number, text};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::tensors::{Array, Arrays};
use crate::tolerance::{PROBABILITY, SCORES};

/// Processors of transformers that this version does not have, with the options that ask for them.
const ABSENT: [(&str, &str); 13] = [
    ("EpsilonLogitsWarper", "epsilon_cutoff"),
    ("EtaLogitsWarper", "eta_cutoff"),
    ("ExponentialDecayLengthPenalty", "exponential_decay_length_penalty"),
    ("ForcedBOSTokenLogitsProcessor", "forced_bos_token_id"),
    ("ForcedEOSTokenLogitsProcessor", "forced_eos_token_id"),
    ("InfNanRemoveLogitsProcessor", "remove_invalid_values"),
    ("LogitNormalization", "renormalize_logits"),
    ("MinPLogitsWarper", "min_p"),
    ("NoBadWordsLogitsProcessor", "bad_words_ids"),
    ("SequenceBiasLogitsProcessor", "sequence_bias"),
    ("SuppressTokensAtBeginLogitsProcessor", "begin_suppress_tokens"),
    ("SuppressTokensLogitsProcessor", "suppress_tokens"),
    ("TypicalLogitsWarper", "typical_p"),
];

/// The processor with these fields, or `None` if this version has none of that class.
fn processor(class: &str, fields: &Value) -> Option<Box<dyn LogitsProcessor>> {
    let ends = || ids(&fields["eos_token_id"]);
    Some(match class {
        "TemperatureLogitsWarper" => {
            Box::new(Temperature::new(number(fields, "temperature")).expect("good"))
        }
        "TopKLogitsWarper" => Box::new(TopK::new(count(fields, "top_k")).expect("good")),
        "TopPLogitsWarper" => {
            let processor = TopP::new(number(fields, "top_p")).expect("good");
            Box::new(processor.with_min_tokens_to_keep(count(fields, "min_tokens_to_keep")))
        }
        "RepetitionPenaltyLogitsProcessor" => {
            Box::new(RepetitionPenalty::new(number(fields, "penalty")).expect("good"))
        }
        "NoRepeatNGramLogitsProcessor" => {
            Box::new(NoRepeatNGram::new(count(fields, "ngram_size")).expect("good"))
        }
        "MinLengthLogitsProcessor" => Box::new(MinLength::new(count(fields, "min_length"), ends())),
        "MinNewTokensLengthLogitsProcessor" => {
            let prompt = count(fields, "prompt_length_to_skip");
            Box::new(MinNewTokens::new(count(fields, "min_new_tokens"), prompt, ends()))
        }
        _ => return None,
    })
}

/// Scores and histories that the processors of a root were given.
struct Inputs {
    scores: Array,
    histories: Vec<Vec<u32>>,
}

impl Inputs {
    /// The scores of all rows after `process`.
    fn after(&self, process: impl Fn(&[u32], &mut [f32])) -> Vec<f32> {
        let mut scores: Vec<f32> = self.scores.values.iter().map(|&score| score as f32).collect();
        for (row, ids) in scores.chunks_exact_mut(self.scores.shape[1]).zip(&self.histories) {
            process(ids, row);
        }
        scores
    }
}

/// Asserts that the same tokens are ruled out and the scores of the others are near.
fn check_scores(context: &str, found: &[f32], expected: &Array) {
    let out = |at: usize| expected.values[at] == f64::from(EXCLUDED);
    for (at, &score) in found.iter().enumerate() {
        assert_eq!(score == EXCLUDED, out(at), "{context}: {} at {at}: {score}", expected.name);
    }
    let width = expected.shape[1];
    assert_close(context, found, expected, SCORES, |at| !out(at[0] * width + at[1]));
}

/// Asserts that options are refused by an error that names one of `absent`.
fn assert_refused(context: &str, options: Map<String, Value>, absent: &[&str]) {
    match GenerationConfig::from_object(options) {
        Err(Error::NotImplemented { option, .. }) if absent.contains(&option.as_str()) => {}
        other => panic!("{context}: expected a refusal of one of {absent:?}, got {other:?}"),
    }
}

fn with_processors() -> impl Iterator<Item = (&'static Root, Value, Arrays, Inputs)> {
    roots().iter().filter(|root| root.has("processors.json")).map(|root| {
        let arrays = Arrays::open(root.expected("processors.safetensors"));
        let inputs = Inputs { scores: arrays.floats("scores"), histories: arrays.ids("input_ids") };
        (root, root.json("processors.json"), arrays, inputs)
    })
}

#[test]
fn every_processor_equals_its_twin_or_its_option_is_refused() {
    for (root, whole, arrays, inputs) in with_processors() {
        for single in items(&whole["single"]) {
            let (name, class) = (text(single, "name"), text(single, "class"));
            let context = format!("{} {name}", root.name);
            match processor(class, &single["attributes"]) {
                Some(processor) => {
                    let found = inputs.after(|ids, scores| processor.process(ids, scores));
                    check_scores(&context, &found, &arrays.floats(&format!("single.{name}")));
                }
                None => {
                    let absent = ABSENT.iter().find(|(absent, _)| *absent == class);
                    let (_, option) = absent.unwrap_or_else(|| panic!("{context}: {class}"));
                    // A list of one is a value at which none of these options is off.
                    let options = Map::from_iter([(option.to_string(), json!([1]))]);
                    assert_refused(&context, options, &[option]);
                }
            }
        }
        let ties = Inputs { scores: arrays.floats("ties.scores"), histories: vec![Vec::new()] };
        let top = TopK::new(2).expect("good");
        let found = ties.after(|ids, scores| top.process(ids, scores));
        check_scores(&format!("{} ties", root.name), &found, &arrays.floats("ties.top_k-2"));
    }
}

/// The options of a chain, or `None` after asserting that they are refused.
fn chain_options(context: &str, chain: &Value) -> Option<GenerationConfig> {
    let mut options = chain["kwargs"].as_object().expect("kwargs").clone();
    options.insert("do_sample".to_string(), true.into());
    options.insert("eos_token_id".to_string(), 0.into());
    let absent: Vec<&str> = ABSENT
        .iter()
        .filter_map(|(_, option)| options.contains_key(*option).then_some(*option))
        .collect();
    if absent.is_empty() {
        return Some(GenerationConfig::from_object(options).expect("good options"));
    }
    assert_refused(context, options, &absent);
    None
}

#[test]
fn the_chains_of_model_cards_equal_generate() {
    for (root, whole, arrays, inputs) in with_processors() {
        let mut equal = 0;
        for chain in items(&whole["chains"]) {
            let name = text(chain, "name");
            let context = format!("{} {name}", root.name);
            let Some(options) = chain_options(&context, chain) else { continue };
            // The histories stand for a prompt and three tokens after it.
            let prompt_length = inputs.histories[0].len() - 3;
            let list = LogitsProcessors::from_config(&options, prompt_length).expect("good");
            assert_eq!(list.len(), items(&chain["order"]).len(), "{context}: {list:?}");
            let found = inputs.after(|ids, scores| list.process(ids, scores));
            check_scores(&context, &found, &arrays.floats(&format!("chain.{name}.scores")));
            let expected = arrays.floats(&format!("model.{name}.probs"));
            let prompt = arrays.ids("model.input_ids").remove(0);
            for (backend, device) in devices() {
                let model = load(&root.model(text(&whole, "model")), &device);
                let vocab = model.config().vocab_size;
                let mut found = vec![0.0; vocab];
                for next in next_tokens(&model, &prompt, vocab, Some(&options)).expect("tokens") {
                    found[next.id as usize] = next.probability as f32;
                }
                let context = format!("{context} {backend}");
                assert_close(&context, &found, &expected, PROBABILITY, everywhere);
            }
            equal += 1;
        }
        assert!(equal >= 4, "{equal}");
    }
}
