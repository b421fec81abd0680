//! Scores after each processor, alone and in the lists that `generate` builds.

use gpt2_infer::logits::{
    BeginSuppressTokens, EXCLUDED, EpsilonCutoff, EtaCutoff, ExponentialDecayLengthPenalty,
    ForcedBosToken, ForcedEosToken, LogitsProcessor, LogitsProcessors, MinLength, MinNewTokens,
    MinP, NoBadWords, NoRepeatNGram, PrefixAllowedTokens, RemoveInvalidValues, RenormalizeLogits,
    RepetitionPenalty, SequenceBias, SuppressTokens, Temperature, TopK, TopP, TypicalP,
};
use gpt2_infer::{GenerationConfig, Result, next_tokens};
use serde_json::Value;

use crate::compare::{assert_close, everywhere};
use crate::json::{count, ids, items, number, rows, text};
use crate::models::{devices, load};
use crate::root::{Root, roots};
use crate::tensors::{Array, Arrays};
use crate::tolerance::{LOG_PROBABILITIES, PROBABILITY, SCORES, Tolerance};

/// The processor with the fields of one of transformers, that of the whole file included.
///
/// # Panics
/// For a class that there is none for.
fn processor(class: &str, fields: &Value, whole: &Value) -> Result<Box<dyn LogitsProcessor>> {
    let ends = || ids(&fields["eos_token_id"]);
    let least = || count(fields, "min_tokens_to_keep");
    Ok(match class {
        "TemperatureLogitsWarper" => Box::new(Temperature::new(number(fields, "temperature"))?),
        "TopKLogitsWarper" => {
            Box::new(TopK::new(count(fields, "top_k"))?.with_min_tokens_to_keep(least())?)
        }
        "TopPLogitsWarper" => {
            Box::new(TopP::new(number(fields, "top_p"))?.with_min_tokens_to_keep(least())?)
        }
        "MinPLogitsWarper" => {
            Box::new(MinP::new(number(fields, "min_p"))?.with_min_tokens_to_keep(least())?)
        }
        "TypicalLogitsWarper" => {
            Box::new(TypicalP::new(number(fields, "mass"))?.with_min_tokens_to_keep(least())?)
        }
        "EpsilonLogitsWarper" => {
            let processor = EpsilonCutoff::new(number(fields, "epsilon"))?;
            Box::new(processor.with_min_tokens_to_keep(least())?)
        }
        "EtaLogitsWarper" => {
            Box::new(EtaCutoff::new(number(fields, "epsilon"))?.with_min_tokens_to_keep(least())?)
        }
        "MinLengthLogitsProcessor" => Box::new(MinLength::new(count(fields, "min_length"), ends())),
        "MinNewTokensLengthLogitsProcessor" => {
            let prompt = count(fields, "prompt_length_to_skip");
            Box::new(MinNewTokens::new(count(fields, "min_new_tokens"), prompt, ends()))
        }
        "ForcedBOSTokenLogitsProcessor" => {
            Box::new(ForcedBosToken::new(count(fields, "bos_token_id") as u32))
        }
        "ForcedEOSTokenLogitsProcessor" => {
            Box::new(ForcedEosToken::new(count(fields, "max_length"), ends())?)
        }
        "ExponentialDecayLengthPenalty" => {
            let penalty = (count(fields, "regulation_start"), number(fields, "regulation_factor"));
            Box::new(ExponentialDecayLengthPenalty::new(penalty, 0, ends())?)
        }
        _ => processor_of_tokens(class, fields, whole)?,
    })
}

/// Those that look at which tokens there are, and those without fields.
fn processor_of_tokens(
    class: &str,
    fields: &Value,
    whole: &Value,
) -> Result<Box<dyn LogitsProcessor>> {
    Ok(match class {
        "RepetitionPenaltyLogitsProcessor" => {
            Box::new(RepetitionPenalty::new(number(fields, "penalty"))?)
        }
        "NoRepeatNGramLogitsProcessor" => {
            Box::new(NoRepeatNGram::new(count(fields, "ngram_size"))?)
        }
        "NoBadWordsLogitsProcessor" => {
            let ends = ids(&whole["eos_in_processors"]);
            Box::new(NoBadWords::new(&rows(&fields["bad_word_ids"]), &ends)?)
        }
        "SuppressTokensLogitsProcessor" => {
            Box::new(SuppressTokens::new(ids(&fields["suppress_tokens"])))
        }
        "SuppressTokensAtBeginLogitsProcessor" => {
            let tokens = ids(&fields["begin_suppress_tokens"]);
            Box::new(BeginSuppressTokens::new(tokens, count(fields, "begin_index")))
        }
        "SequenceBiasLogitsProcessor" => {
            let pair = |pair: &Value| (ids(&pair[0]), pair[1].as_f64().expect("a bias"));
            let biases: Vec<_> = items(&whole["sequence_bias"]).iter().map(pair).collect();
            Box::new(SequenceBias::new(&biases)?)
        }
        "PrefixConstrainedLogitsProcessor" => {
            // By the last token of the text, modulo the number of lists.
            let lists = rows(&fields["allowed_by_last_token"]);
            Box::new(PrefixAllowedTokens::new(move |ids| {
                lists[ids.last().map_or(0, |&id| id as usize) % lists.len()].clone()
            }))
        }
        "LogitNormalization" => Box::new(RenormalizeLogits::new()),
        "InfNanRemoveLogitsProcessor" => Box::new(RemoveInvalidValues::new()),
        _ => panic!("no processor for {class}"),
    })
}

/// Scores and histories that the processors of a root were given.
pub struct Inputs {
    /// One row of scores for each history.
    pub scores: Array,
    /// Tokens so far.
    pub histories: Vec<Vec<u32>>,
}

impl Inputs {
    /// The scores of all rows after `process`.
    fn after(&self, mut process: impl FnMut(&[u32], &mut [f32])) -> Vec<f32> {
        let mut scores: Vec<f32> = self.scores.values.iter().map(|&score| score as f32).collect();
        for (row, ids) in scores.chunks_exact_mut(self.scores.shape[1]).zip(&self.histories) {
            process(ids, row);
        }
        scores
    }
}

/// Asserts that the same tokens are ruled out and the scores of the others are near.
fn check_scores(context: &str, found: &[f32], expected: &Array, tolerance: Tolerance) {
    let out = |at: usize| expected.values[at] == f64::from(EXCLUDED);
    for (at, &score) in found.iter().enumerate() {
        assert_eq!(score == EXCLUDED, out(at), "{context}: {} at {at}: {score}", expected.name);
    }
    let width = expected.shape[1];
    assert_close(context, found, expected, tolerance, |at| !out(at[0] * width + at[1]));
}

/// Every root with processors, with its whole file, its arrays, and what most processors were given.
pub fn with_processors() -> impl Iterator<Item = (&'static Root, Value, Arrays, Inputs)> {
    roots().iter().filter(|root| root.has("processors.json")).map(|root| {
        let arrays = Arrays::open(root.expected("processors.safetensors"));
        let inputs = Inputs { scores: arrays.floats("scores"), histories: arrays.ids("input_ids") };
        (root, root.json("processors.json"), arrays, inputs)
    })
}

/// Arrays that were made by a processor, each with what went into it.
///
/// One processor has a name with a star for two arrays: with the first token of each history, and
/// with all of it.
fn cases(arrays: &Arrays, inputs: &Inputs, name: &str) -> Vec<(String, Inputs)> {
    let with = |scores: Array, length: Option<usize>| {
        let cut = |ids: &Vec<u32>| ids[..length.unwrap_or(ids.len())].to_vec();
        Inputs { scores, histories: inputs.histories.iter().map(cut).collect() }
    };
    let scores = || match name {
        "remove_invalid" => arrays.floats("remove_invalid.scores"),
        _ => inputs.scores.clone(),
    };
    match name.strip_suffix('*') {
        Some(stem) => vec![
            (format!("single.{stem}at-length-1"), with(scores(), Some(1))),
            (format!("single.{stem}later"), with(scores(), None)),
        ],
        None => vec![(format!("single.{name}"), with(scores(), None))],
    }
}

#[test]
fn every_processor_equals_its_twin() {
    for (root, whole, arrays, inputs) in with_processors() {
        let mut compared = Vec::new();
        for single in items(&whole["single"]) {
            let (name, class) = (text(single, "name"), text(single, "class"));
            let context = format!("{} {name}", root.name);
            let tolerance = match class {
                "LogitNormalization" => LOG_PROBABILITIES,
                _ => SCORES,
            };
            let mut processor =
                processor(class, &single["attributes"], &whole).expect("good fields");
            for (array, inputs) in cases(&arrays, &inputs, name) {
                let found = inputs.after(|ids, scores| processor.process(ids, scores));
                check_scores(&context, &found, &arrays.floats(&array), tolerance);
                compared.push(array);
            }
        }
        compared.sort();
        let names = arrays.names().into_iter().filter(|name| name.starts_with("single."));
        assert_eq!(compared, names.collect::<Vec<_>>());
        let ties = Inputs { scores: arrays.floats("ties.scores"), histories: vec![Vec::new()] };
        let mut top = TopK::new(2).expect("good");
        let found = ties.after(|ids, scores| top.process(ids, scores));
        check_scores(
            &format!("{} ties", root.name),
            &found,
            &arrays.floats("ties.top_k-2"),
            SCORES,
        );
    }
}

/// The options of a chain.
pub fn chain_options(chain: &Value) -> GenerationConfig {
    let mut options = chain["kwargs"].as_object().expect("kwargs").clone();
    options.entry("do_sample").or_insert(true.into());
    options.insert("eos_token_id".to_string(), 0.into());
    GenerationConfig::from_object(options).expect("good options")
}

/// The processors of a chain after a prompt.
pub fn chain_list(options: &GenerationConfig, prompt_length: usize) -> LogitsProcessors {
    // A length that no history comes near to.
    LogitsProcessors::from_config(options, prompt_length, 1000).expect("good options")
}

#[test]
fn every_chain_equals_generate() {
    for (root, whole, arrays, inputs) in with_processors() {
        // The histories stand for a prompt and three tokens after it.
        let prompt_length = inputs.histories[0].len() - 3;
        for chain in items(&whole["chains"]) {
            let name = text(chain, "name");
            let context = format!("{} {name}", root.name);
            let options = chain_options(chain);
            let mut list = chain_list(&options, prompt_length);
            assert_eq!(list.len(), items(&chain["order"]).len(), "{context}: {list:?}");
            let found = inputs.after(|ids, scores| list.process(ids, scores));
            let tolerance = match options.renormalize_logits {
                true => LOG_PROBABILITIES,
                false => SCORES,
            };
            let expected = arrays.floats(&format!("chain.{name}.scores"));
            check_scores(&context, &found, &expected, tolerance);
        }
    }
}

#[test]
fn every_chain_after_a_model_equals_generate() {
    for (root, whole, arrays, _) in with_processors() {
        let prompt = arrays.ids("model.input_ids").remove(0);
        for (backend, device) in devices() {
            let model = load(&root.model(text(&whole, "model")), &device);
            let vocab = model.config().vocab_size;
            for chain in items(&whole["chains"]) {
                let name = text(chain, "name");
                let expected = arrays.floats(&format!("model.{name}.probs"));
                let options = chain_options(chain);
                let mut found = vec![0.0; vocab];
                for next in next_tokens(&model, &prompt, vocab, Some(&options)).expect("tokens") {
                    found[next.id as usize] = next.probability as f32;
                }
                let context = format!("{} {name} {backend}", root.name);
                assert_close(&context, &found, &expected, PROBABILITY, everywhere);
            }
        }
    }
}
