//! Options: layers, files, and everything that is refused.

use std::fs;

use gpt2_core::Gpt2Config;
use gpt2_infer::{EarlyStopping, Error, GenerationConfig, generate};
use serde_json::{Value, json};

use crate::support::{model, model_config, object};

fn read(value: Value) -> Result<GenerationConfig, Error> {
    GenerationConfig::from_object(object(value))
}

#[test]
fn each_layer_overrides_the_one_below() {
    let model = Gpt2Config::from_json(
        r#"{"vocab_size": 60000, "do_sample": true, "top_k": 40, "top_p": 0.9, "max_length": 50}"#,
    );
    let config = GenerationConfig::from_model_config(&model.unwrap()).unwrap();
    assert_eq!((config.top_k, config.top_p, config.max_length), (40, 0.9, Some(50)));
    assert_eq!((config.bos_token_id, config.eos_token_id.as_slice()), (Some(50256), &[50256][..]));
    let file = json!({"top_k": 30, "eos_token_id": [1, 2], "temperature": null});
    let config = config.merged(object(file)).unwrap();
    let config = config.merged(object(json!({"top_p": 0.5, "seed": 7}))).unwrap();
    let expected = GenerationConfig {
        do_sample: true,
        top_k: 30,
        top_p: 0.5,
        max_length: Some(50),
        bos_token_id: Some(50256),
        eos_token_id: vec![1, 2],
        seed: Some(7),
        ..GenerationConfig::default()
    };
    assert_eq!(config, expected);
}

#[test]
fn null_empties_what_can_be_empty() {
    let config = read(json!({
        "max_length": 9, "max_new_tokens": 3, "min_new_tokens": 2, "seed": 5,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "top_k": 8,
        "bad_words_ids": [[4]], "stop_strings": "end", "max_time": 1.5, "min_p": 0.1,
        "forced_eos_token_id": 2, "exponential_decay_length_penalty": [3, 1.1],
    }));
    let nulls = json!({
        "max_length": null, "max_new_tokens": null, "min_new_tokens": null, "seed": null,
        "bos_token_id": null, "eos_token_id": null, "pad_token_id": null, "top_k": null,
        "num_beams": null, "bad_words_ids": null, "stop_strings": null, "max_time": null,
        "min_p": null, "forced_eos_token_id": null, "exponential_decay_length_penalty": null,
    });
    let config = config.unwrap().merged(object(nulls)).unwrap();
    assert_eq!(config, GenerationConfig { top_k: 8, ..GenerationConfig::default() });
}

#[test]
fn fields_without_effect_are_accepted() {
    let config = read(json!({
        "_from_model_config": true, "transformers_version": "4.30.2", "output_attentions": false,
        "output_scores": true, "return_dict_in_generate": true, "num_beams": 1,
        "num_beam_groups": 1, "penalty_alpha": null, "typical_p": 1, "epsilon_cutoff": 0.0,
        "bad_words_ids": [], "renormalize_logits": false, "diversity_penalty": 0.0,
        "guidance_scale": 1.0, "constraints": [], "forced_decoder_ids": null,
        "encoder_no_repeat_ngram_size": 0, "decoder_start_token_id": null, "use_cache": true,
    }));
    assert_eq!(config.unwrap(), GenerationConfig::default());
}

#[test]
fn every_shape_of_a_field_is_read() {
    let config = read(json!({
        "early_stopping": "never", "stop_strings": ["a", "b"], "bad_words_ids": [[1], [2, 3]],
        "sequence_bias": [[[4, 5], -2.5]], "forced_eos_token_id": [6, 7],
        "exponential_decay_length_penalty": [8, 1.5], "num_beams": 3, "length_penalty": -1,
    }));
    let expected = GenerationConfig {
        early_stopping: EarlyStopping::Never,
        stop_strings: vec!["a".to_string(), "b".to_string()],
        bad_words_ids: vec![vec![1], vec![2, 3]],
        sequence_bias: vec![(vec![4, 5], -2.5)],
        forced_eos_token_id: vec![6, 7],
        exponential_decay_length_penalty: Some((8, 1.5)),
        num_beams: 3,
        length_penalty: -1.0,
        ..GenerationConfig::default()
    };
    assert_eq!(config.unwrap(), expected);
    assert_eq!(read(json!({"early_stopping": true})).unwrap().early_stopping, EarlyStopping::True);
}

#[test]
fn every_bad_field_is_named() {
    for (value, field) in [
        (json!({"max_length": -3}), "max_length"),
        (json!({"max_length": 0}), "max_length"),
        (json!({"max_new_tokens": 0}), "max_new_tokens"),
        (json!({"max_new_tokens": 2.5}), "max_new_tokens"),
        (json!({"min_length": -1}), "min_length"),
        (json!({"min_new_tokens": "two"}), "min_new_tokens"),
        (json!({"do_sample": 1}), "do_sample"),
        (json!({"temperature": -1.0}), "temperature"),
        (json!({"temperature": 0.0, "do_sample": true}), "temperature"),
        (json!({"temperature": 1e-50, "do_sample": true}), "temperature"),
        (json!({"top_k": -5}), "top_k"),
        (json!({"top_k": "fifty"}), "top_k"),
        (json!({"top_p": 0.0}), "top_p"),
        (json!({"top_p": -0.1}), "top_p"),
        (json!({"top_p": 2.0}), "top_p"),
        (json!({"repetition_penalty": 0.0}), "repetition_penalty"),
        (json!({"repetition_penalty": -1.0}), "repetition_penalty"),
        (json!({"no_repeat_ngram_size": -1}), "no_repeat_ngram_size"),
        (json!({"num_return_sequences": 0}), "num_return_sequences"),
        (json!({"num_return_sequences": 1_000_000_000_000_u64}), "num_return_sequences"),
        (json!({"bos_token_id": -1}), "bos_token_id"),
        (json!({"eos_token_id": [0, "end"]}), "eos_token_id"),
        (json!({"pad_token_id": 1.5}), "pad_token_id"),
        (json!({"seed": -1}), "seed"),
        (json!({"use_cache": "yes"}), "use_cache"),
        (json!({"num_beams": 0}), "num_beams"),
        (json!({"num_beams": 1_000_000_000_000_u64}), "num_beams"),
        (json!({"early_stopping": "soon"}), "early_stopping"),
        (json!({"length_penalty": "long"}), "length_penalty"),
        (json!({"max_time": 0}), "max_time"),
        (json!({"max_time": "an hour"}), "max_time"),
        (json!({"prompt_lookup_num_tokens": 0}), "prompt_lookup_num_tokens"),
        (json!({"max_matching_ngram_size": 0}), "max_matching_ngram_size"),
        (json!({"num_assistant_tokens": 0}), "num_assistant_tokens"),
        (json!({"assistant_confidence_threshold": 1.5}), "assistant_confidence_threshold"),
        (json!({"sliding_window": 0}), "sliding_window"),
        (json!({"penalty_alpha": 0.6}), "penalty_alpha"),
        (json!({"bad_words_ids": [1]}), "bad_words_ids"),
        (json!({"bad_words_ids": [[]]}), "bad_words_ids"),
        (json!({"sequence_bias": [[[1], 2.0, 3.0]]}), "sequence_bias"),
        (json!({"sequence_bias": [[[], 2.0]]}), "sequence_bias"),
        (json!({"suppress_tokens": [-1]}), "suppress_tokens"),
        (json!({"renormalize_logits": 1}), "renormalize_logits"),
        (json!({"exponential_decay_length_penalty": [1]}), "exponential_decay_length_penalty"),
        (json!({"min_p": -0.5}), "min_p"),
        (json!({"min_p": 1.5}), "min_p"),
        (json!({"typical_p": 0.0}), "typical_p"),
        (json!({"epsilon_cutoff": 1.0}), "epsilon_cutoff"),
        (json!({"eta_cutoff": -0.1}), "eta_cutoff"),
        (json!({"stop_strings": [1]}), "stop_strings"),
        (json!({"stop_strings": ["a", ""]}), "stop_strings"),
        (json!({"top_kk": 5}), "top_kk"),
    ] {
        let error = read(value.clone()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{field}` is")), "{value}: {error}");
    }
}

#[test]
fn what_is_not_implemented_is_told_from_what_is_wrong() {
    let not_implemented =
        |value| matches!(read(value), Err(gpt2_infer::Error::NotImplemented { .. }));
    assert!(not_implemented(json!({"penalty_alpha": 0.6})));
    // They look at the prompt of a decoder-only model, too.
    assert!(not_implemented(json!({"encoder_no_repeat_ngram_size": 1})));
    assert!(not_implemented(json!({"encoder_repetition_penalty": 1.5})));
    assert!(not_implemented(json!({"num_beam_groups": 2})));
    assert!(!not_implemented(json!({"num_beam_groups": 0})));
    assert!(!not_implemented(json!({"temperature": -1.0})));
}

#[test]
fn a_temperature_of_zero_does_not_matter_without_draws() {
    assert!(read(json!({"temperature": 0.0})).is_ok());
}

#[test]
fn every_contradiction_is_named() {
    let sampled = GenerationConfig { do_sample: true, ..GenerationConfig::default() };
    let default = GenerationConfig::default;
    for (config, field) in [
        (GenerationConfig { num_return_sequences: 2, ..default() }, "num_return_sequences"),
        (GenerationConfig { temperature: 0.0, ..sampled.clone() }, "temperature"),
        (GenerationConfig { temperature: f64::NAN, ..default() }, "temperature"),
        (GenerationConfig { top_p: f64::NAN, ..sampled }, "top_p"),
        (GenerationConfig { eos_token_id: vec![0, 101], ..default() }, "eos_token_id"),
        (GenerationConfig { pad_token_id: Some(101), ..default() }, "pad_token_id"),
        (GenerationConfig { bos_token_id: Some(101), ..default() }, "bos_token_id"),
        (GenerationConfig { bad_words_ids: vec![vec![1, 101]], ..default() }, "bad_words_ids"),
        (GenerationConfig { suppress_tokens: vec![101], ..default() }, "suppress_tokens"),
        (GenerationConfig { sequence_bias: vec![(vec![101], 1.0)], ..default() }, "sequence_bias"),
        (GenerationConfig { length_penalty: f64::NAN, ..default() }, "length_penalty"),
        (
            GenerationConfig { min_new_tokens: Some(3), max_new_tokens: Some(2), ..default() },
            "min_new_tokens",
        ),
        (GenerationConfig { min_length: 9, max_length: Some(8), ..default() }, "min_length"),
        (GenerationConfig { max_new_tokens: Some(0), ..default() }, "max_new_tokens"),
    ] {
        let error = config.validate(&model_config()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{field}` is")), "{error}");
        let error = generate(&model(), &[vec![1]], &config).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{field}` is")), "{error}");
    }
}

#[test]
fn token_ids_that_config_json_leaves_open_do_not_harm_a_small_vocabulary() {
    let model = Gpt2Config::from_json(r#"{"vocab_size": 500, "pad_token_id": 3}"#).unwrap();
    let config = GenerationConfig::from_model_config(&model).unwrap();
    assert_eq!((config.bos_token_id, config.eos_token_id.len()), (None, 0));
    assert_eq!(config.pad_token_id, Some(3));
}

#[test]
fn keys_of_config_json_that_are_no_options_are_passed_over() {
    let text = r#"{"gradient_checkpointing": false, "summary_type": "cls_index", "top_k": 7}"#;
    let model = Gpt2Config::from_json(text).unwrap();
    assert_eq!(GenerationConfig::from_model_config(&model).unwrap().top_k, 7);
}

#[test]
fn options_of_our_own_are_read_from_every_layer_but_config_json() {
    let (seed, ours) = (Some(42), r#""seed": 42, "sliding_window": 8, "truncate_prompt": true"#);
    let model = Gpt2Config::from_json(&format!(r#"{{{ours}, "log_probs": "all"}}"#)).unwrap();
    let config = GenerationConfig::from_model_config(&model).unwrap();
    let expected = GenerationConfig {
        bos_token_id: Some(50256),
        eos_token_id: vec![50256],
        ..GenerationConfig::default()
    };
    assert_eq!(config, expected);

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("generation_config.json"), format!("{{{ours}}}")).unwrap();
    let config = GenerationConfig::from_pretrained(folder.path(), &model).unwrap();
    let file =
        GenerationConfig { seed, sliding_window: Some(8), truncate_prompt: true, ..expected };
    assert_eq!(config, file);
    let config = config.merged(object(json!({"seed": null, "sliding_window": 9}))).unwrap();
    assert_eq!((config.seed, config.sliding_window), (None, Some(9)));
}

#[test]
fn a_length_with_the_prompt_takes_the_place_of_one_without() {
    let folder = read(json!({"max_new_tokens": 3, "min_new_tokens": 2, "top_k": 8})).unwrap();
    let config =
        GenerationConfig { do_sample: true, ..folder.with_max_length(9).with_min_length(8) };
    let expected = GenerationConfig {
        do_sample: true,
        max_length: Some(9),
        min_length: 8,
        top_k: 8,
        ..GenerationConfig::default()
    };
    assert_eq!(config, expected);
    let found = generate(&model(), &[vec![1, 2]], &config).unwrap();
    assert!(found[0][0].ids.len() >= 8, "{found:?}");
}

#[test]
fn a_folder_is_read_with_the_file_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("generation_config.json");
    let from_folder = || GenerationConfig::from_pretrained(folder.path(), &model_config());
    assert_eq!(from_folder().unwrap().eos_token_id, [0]);
    fs::write(&path, r#"{"eos_token_id": 7, "do_sample": true}"#).unwrap();
    let config = from_folder().unwrap();
    assert!(config.do_sample && config.eos_token_id == [7] && config.bos_token_id == Some(1));
    for (text, field) in [
        (r#"{"eos_token_id": 1000000}"#, "eos_token_id"),
        (r#"{"top_p": 2.0}"#, "top_p"),
        (r#"{"nonsense": 1}"#, "nonsense"),
        (r#"{"top_k": 5"#, "generation_config.json"),
        (r#"[1]"#, "generation_config.json"),
    ] {
        fs::write(&path, text).unwrap();
        let error = from_folder().unwrap_err().to_string();
        assert!(error.contains(field) && error.contains("generation_config.json"), "{error}");
    }
}

#[test]
fn options_of_config_json_are_checked_with_the_file_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = Gpt2Config::from_json(r#"{"top_p": 3}"#).unwrap();
    let error = GenerationConfig::from_pretrained(folder.path(), &model).unwrap_err().to_string();
    assert!(error.contains("config.json: `top_p` is 3"), "{error}");
}
