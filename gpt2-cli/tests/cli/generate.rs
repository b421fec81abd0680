//! `gpt2 generate` and `gpt2 next`.

use serde_json::{Value, json};

use super::support::{Place, expected, keys, model};

/// Options of the reference that need more than this version.
const NOT_YET: &str = "is not implemented in this version";

#[test]
fn greedy_ids_are_those_of_the_reference() {
    let (place, reference) = (Place::new(), expected("generation.json"));
    let mut compared = 0;
    for case in reference["cases"].as_array().unwrap() {
        let padded = case.get("attention_mask").is_some();
        if padded || case["kwargs"]["num_beams"].as_u64() > Some(1) || compared == 16 {
            continue;
        }
        let prompts = case["input_ids"].as_array().unwrap();
        let lines = prompts.iter().map(|ids| format!("{}\n", json!({ "prompt_ids": ids })));
        place.write("prompts.jsonl", lines.collect::<String>());
        place.write("options.json", case["kwargs"].to_string());
        let folder = model(case["model"].as_str().unwrap());
        let args = ["generate", &folder, "--prompts", "prompts.jsonl", "--json"];
        let ran = place.run(&[&args[..], &["--generation-config", "options.json"]].concat());
        if ran.stderr.contains(NOT_YET) {
            continue;
        }
        let found: Vec<Value> = ran.lines().iter().map(|l| l["sequences"][0].clone()).collect();
        assert_eq!(found.len(), prompts.len(), "{}: {}", case["name"], ran.stderr);
        for (found, expected) in found.iter().zip(case["sequences"].as_array().unwrap()) {
            // The reference pads what ended early.
            let ids = found["ids"].as_array().unwrap();
            assert_eq!(ids[..], expected.as_array().unwrap()[..ids.len()], "{}", case["name"]);
        }
        compared += 1;
    }
    assert_eq!(compared, 16);
}

#[test]
fn json_holds_prompts_ids_texts_and_reasons() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["generate", &folder, "--prompt", "Nenek", "--prompt", "Kakek memberi"];
    let ran = place.ok(&[&args[..], &["--max-new-tokens", "3", "--json"]].concat());
    let lines = ran.lines();
    assert_eq!(ran.stderr, "");
    assert_eq!(lines.len(), 2);
    for (line, prompt) in lines.iter().zip(["Nenek", "Kakek memberi"]) {
        assert_eq!(keys(line), ["prompt", "prompt_ids", "sequences"]);
        assert_eq!(line["prompt"], prompt);
        let sequence = &line["sequences"][0];
        assert_eq!(keys(sequence), ["finish_reason", "ids", "score", "text"]);
        assert_eq!(
            (&sequence["score"], &sequence["finish_reason"]),
            (&Value::Null, &json!("length"))
        );
        let (ids, start) = (sequence["ids"].as_array().unwrap(), line["prompt_ids"].as_array());
        assert_eq!(ids.len(), start.unwrap().len() + 3);
        assert!(ids.starts_with(start.unwrap()));
        assert!(sequence["text"].as_str().unwrap().starts_with(prompt));
    }
}

#[test]
fn an_end_of_text_token_ends_a_text_and_can_be_left_out_of_it() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["generate", &folder, "--prompt-ids", "0,46,372"];
    let first = place.json(&args)["sequences"][0].clone();
    let end = first["ids"][4].to_string();
    let found = place.json(&[&args[..], &["--eos-token-id", &end]].concat());
    assert_eq!(found["prompt"], Value::Null);
    assert_eq!(found["sequences"][0]["finish_reason"], "eos");
    let text = |value: &Value| value["text"].as_str().unwrap().to_string();
    assert!(text(&first).starts_with("<|endoftext|>"));
    let skipped = place.json(&[&args[..], &["--skip-special-tokens"]].concat());
    assert!(!text(&skipped["sequences"][0]).contains("<|endoftext|>"));
}

#[test]
fn one_seed_is_one_text_and_sequences_differ() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let draw = |seed: &str| {
        let args = ["generate", &folder, "--prompt", "Nenek", "--do-sample", "--seed", seed];
        place.json(&[&args[..], &["--num-return-sequences", "3"]].concat())["sequences"].clone()
    };
    let first = draw("1");
    assert_eq!(first, draw("1"));
    assert_ne!(first, draw("18446744073709551615"));
    assert_ne!(first[0]["ids"], first[1]["ids"]);
}

#[test]
fn options_override_the_file_and_the_file_overrides_the_folder() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    place.write("g.json", r#"{"max_new_tokens": 7, "do_sample": true, "seed": 5}"#);
    let args = ["generate", &folder, "--prompt-ids", "46,372", "--generation-config", "g.json"];
    let length = |options: &[&str]| {
        let found = place.json(&[&args[..], options].concat());
        found["sequences"][0]["ids"].as_array().unwrap().len()
    };
    assert_eq!(length(&[]), 9);
    assert_eq!(length(&["--max-new-tokens", "4"]), 6);
    assert_eq!(length(&["--max-length", "5"]), 5);
    let greedy = place.json(&[&args[..], &["--do-sample=false"]].concat());
    let plain =
        place.json(&["generate", &folder, "--prompt-ids", "46,372", "--max-new-tokens", "7"]);
    assert_eq!(greedy, plain);
}

#[test]
fn text_is_the_same_streamed_and_without_a_cache() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["generate", &folder, "--prompt", "Nenek", "--max-new-tokens", "30"];
    let text = place.ok(&args).stdout;
    assert!(text.starts_with("Nenek") && text.ends_with('\n'));
    assert_eq!(place.ok(&[&args[..], &["--stream"]].concat()).stdout, text);
    assert_eq!(place.ok(&[&args[..], &["--no-cache"]].concat()).stdout, text);
    let two = [&args[..], &["--prompt", "Nenek"]].concat();
    assert_eq!(place.ok(&two).stdout, format!("{text}---\n{text}"));
    place.refused(&[&two[..], &["--stream"]].concat(), &["`--stream` writes one sequence"]);
}

#[test]
fn an_empty_prompt_is_the_begin_of_text() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let found = place.json(&["generate", &folder, "--prompt", ""]);
    assert_eq!((&found["prompt"], &found["prompt_ids"]), (&json!(""), &json!([0])));
    place.json(&["next", &folder, "--prompt", ""]);
}

#[test]
fn options_that_cannot_be_used_are_named() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let most = u64::MAX.to_string();
    for (options, part) in [
        (&["--max-new-tokens", &most][..], "`max_new_tokens` is 18446744073709551615"),
        (&["--max-new-tokens", "0"], "`max_new_tokens` is 0"),
        (&["--max-length", &most], "`max_length` is 18446744073709551615"),
        (&["--min-length", &most], "`min_length` is"),
        (&["--min-new-tokens", &most], "`min_new_tokens` is"),
        (&["--temperature", "-1"], "`temperature` is -1"),
        (&["--temperature", "0", "--do-sample"], "`temperature` is 0"),
        (&["--top-p", "1.5"], "`top_p` is 1.5"),
        (&["--repetition-penalty", "0"], "`repetition_penalty` is 0"),
        (&["--num-return-sequences", "2"], "`num_return_sequences` is 2"),
        (&["--num-return-sequences", &most, "--do-sample"], "`num_return_sequences` is"),
        (&["--eos-token-id", "384"], "`eos_token_id` is 384"),
        (&["--pad-token-id", "4294967295"], "`pad_token_id` is"),
    ] {
        place.refused(&[&["generate", &folder, "--prompt", "a"], options].concat(), &[part]);
    }
    let long = vec!["1"; 49].join(",");
    place.refused(&["generate", &folder, "--prompt-ids", &long], &["prompt 0 has 49 tokens"]);
    place.refused(&["generate", &folder, "--prompt-ids", "384"], &["prompt 0 has token id 384"]);
    let twice = ["generate", &folder, "--prompt-ids", "1", "--prompt-ids", "2"];
    assert_eq!(place.run(&twice).code, 2);
    place.refused(&["next", &folder, "--prompt-ids", "384"], &["prompt 0 has token id 384"]);
    place.refused(&["next", &folder, "--prompt", "a", "--top", "0"], &["`top` is 0"]);
}

#[test]
fn bad_prompt_and_option_files_are_named() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    for (content, part) in [
        (&b"{\"prompt\": \"a\"}\n{\"prompt\": 3}\n"[..], "p.jsonl, line 2: expected {\"prompt\""),
        (b"{\"prompt\": \"a\", \"promt_ids\": [1]}\n", "p.jsonl, line 1"),
        (b"\n\n", "p.jsonl: there is no prompt"),
        (b"\"\xff\"\n", "p.jsonl, line 1: byte 1 of the file is not UTF-8"),
    ] {
        place.write("p.jsonl", content);
        place.refused(&["generate", &folder, "--prompts", "p.jsonl"], &[part]);
    }
    for (content, part) in [
        ("[]", "g.json: malformed JSON: an array"),
        ("{", "g.json: not valid JSON"),
        (r#"{"temprature": 1}"#, "g.json: `temprature` is not an option"),
        (r#"{"num_beam_groups": 4}"#, "g.json: `num_beam_groups` is 4"),
        (r#"{"top_k": -1}"#, "g.json: `top_k` is -1"),
    ] {
        place.write("g.json", content);
        let args = ["generate", &folder, "--prompt", "a", "--generation-config", "g.json"];
        place.refused(&args, &[part]);
    }
    for option in ["--prompts", "--generation-config"] {
        let prompt = if option == "--prompts" { &[][..] } else { &["--prompt", "a"] };
        let args = [&["generate", &folder, option, "nowhere"], prompt].concat();
        place.refused(&args, &["nowhere: cannot read"]);
    }
}

#[test]
fn next_tokens_are_listed_with_probabilities() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["next", &folder, "--prompt", "Nenek"];
    let all = place.json(&[&args[..], &["--top", "1000000000000"]].concat());
    assert_eq!(keys(&all), ["candidates"]);
    let all = all["candidates"].as_array().unwrap();
    assert_eq!(all.len(), 384);
    assert_eq!(keys(&all[0]), ["id", "probability", "token"]);
    let probability = |candidate: &Value| candidate["probability"].as_f64().unwrap();
    assert!((all.iter().map(probability).sum::<f64>() - 1.0).abs() < 1e-6);
    assert!(all.windows(2).all(|pair| probability(&pair[0]) >= probability(&pair[1])));
    let greedy = place.json(&["generate", &folder, "--prompt", "Nenek", "--max-new-tokens", "1"]);
    assert_eq!(greedy["sequences"][0]["ids"].as_array().unwrap().last(), Some(&all[0]["id"]));
    let one = place.json(&args);
    assert_eq!(one["candidates"], json!([all[0]]));
}

#[test]
fn processed_probabilities_are_those_after_the_options() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["next", &folder, "--prompt", "Nenek", "--top", "9"];
    let options = ["--do-sample", "--top-k", "2", "--temperature", "0.5"];
    let found = place.json(&[&args[..], &options, &["--processed"]].concat());
    let plain = place.json(&args);
    let probability = |value: &Value, at: usize| value["candidates"][at]["probability"].as_f64();
    assert_eq!(found["candidates"].as_array().unwrap().len(), 2);
    let ratio = |value: &Value| probability(value, 0).unwrap() / probability(value, 1).unwrap();
    assert!((ratio(&found) - ratio(&plain).powi(2)).abs() < 1e-3 * ratio(&found));
    place.refused(&[&args[..], &options].concat(), &["options of generation need `--processed`"]);
}

#[test]
fn options_of_the_folder_that_are_refused_do_not_matter_where_they_are_not_used() {
    let (place, source) = (Place::new(), model("bbpe-trained"));
    std::fs::create_dir(place.path("model")).unwrap();
    for file in std::fs::read_dir(&source).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        std::fs::copy(file.path(), place.path(&format!("model/{name}"))).unwrap();
    }
    let options = r#"{"guidance_scale": 1.5}"#;
    place.write("model/generation_config.json", options);
    let args = ["next", "model", "--prompt", "Nenek"];
    let expected = place.json(&["next", &source, "--prompt", "Nenek"]);
    assert_eq!(place.json(&args), expected);
    place.refused(&[&args[..], &["--processed"]].concat(), &["`guidance_scale` is 1.5"]);
    place.ok(&["features", "model", "--prompt", "Nenek"]);
}

/// The first sequence that these options give after one prompt.
fn first(place: &Place, folder: &str, options: &[&str]) -> serde_json::Value {
    let args = ["generate", folder, "--prompt", "Nenek pergi", "--max-new-tokens", "12"];
    place.json(&[&args[..], options].concat())["sequences"][0].clone()
}

#[test]
fn beams_have_scores_that_fall() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    for early_stopping in ["--early-stopping", "--early-stopping=never"] {
        let args = ["--num-beams", "4", "--num-return-sequences", "3", "--length-penalty", "0.5"];
        let args = [&["generate", &folder, "--prompt", "Ibu", early_stopping], &args[..]].concat();
        let found = place.json(&args);
        let scores = found["sequences"].as_array().unwrap().iter();
        let scores: Vec<f64> = scores.map(|text| text["score"].as_f64().unwrap()).collect();
        assert!(scores.len() == 3 && scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    }
    assert_eq!(
        place.run(&["generate", &folder, "--prompt", "a", "--early-stopping", "soon"]).code,
        2
    );
    let args = ["generate", &folder, "--prompt", "a", "--num-beams", "2", "--stream"];
    place.refused(&args, &["`num_beams` is 2"]);
}

#[test]
fn an_option_whose_value_may_be_left_out_takes_its_own_values_only() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let run = |args: &[&str]| {
        let shared =
            ["--prompt", "Ibu", "--num-beams", "3", "--max-new-tokens", "6", "--seed", "1"];
        place.json(&[&["generate"], args, &shared].concat())
    };
    for option in ["--do-sample", "--early-stopping"] {
        for value in ["true", "false", "never"] {
            let with_equals = format!("{option}={value}");
            if (option, value) == ("--do-sample", "never") {
                let ran = place.run(&["generate", &folder, "--prompt", "Ibu", &with_equals]);
                assert_eq!(ran.code, 2, "{}", ran.stderr);
                continue;
            }
            let expected = run(&[&folder, &with_equals]);
            assert_eq!(run(&[&folder, option, value]), expected);
            assert_eq!(run(&[option, value, &folder]), expected);
            if value == "true" {
                assert_eq!(run(&[&folder, option]), expected);
                assert_eq!(run(&[option, &folder]), expected);
            }
        }
    }
    let text = |args: &[&str]| run(args)["sequences"][0]["text"].clone();
    assert_ne!(text(&[&folder, "--do-sample"]), text(&[&folder, "--do-sample", "false"]));
    // Behind `--` there are no options.
    let args = ["generate", "--prompt", "Ibu", "--do-sample", "--", "true"];
    place.refused(&args, &["true: there is no such folder"]);
}

#[test]
fn a_stop_string_ends_the_text_and_stays_out_of_the_stream() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let free = first(&place, &folder, &[]);
    let text = free["text"].as_str().unwrap();
    let new = text.strip_prefix("Nenek pergi").unwrap();
    let stop: String = new.chars().skip(4).take(3).collect();
    let found = first(&place, &folder, &["--stop", "@@@", "--stop", &stop]);
    assert_eq!(found["finish_reason"], "stop_string");
    assert!(found["text"].as_str().unwrap().contains(&stop));
    let args = ["generate", &folder, "--prompt", "Nenek pergi", "--stop", &stop, "--stream"];
    let shown = place.ok(&args).stdout;
    let cut = new.find(&stop).unwrap();
    assert_eq!(shown, format!("Nenek pergi{}\n", &new[..cut]));
    place.refused(&["generate", &folder, "--prompt", "a", "--stop", ""], &["`stop_strings`"]);
}

#[test]
fn words_can_be_forbidden_and_tokens_suppressed() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let free = first(&place, &folder, &[]);
    let ids = free["ids"].as_array().unwrap();
    let next = ids[ids.len() - 12].to_string();
    for options in [["--bad-words-ids", &format!("[[{next}]]")], ["--suppress-tokens", &next]] {
        let found = first(&place, &folder, &options);
        assert_ne!(found["ids"][ids.len() - 12].to_string(), next);
    }
    let args = ["generate", &folder, "--prompt", "a", "--bad-words-ids"];
    place.refused(&[&args[..], &["[[1000000]]"]].concat(), &["`bad_words_ids` is 1000000"]);
    assert_eq!(place.run(&[&args[..], &["[[1"]].concat()).code, 2);
}

#[test]
fn guesses_change_no_token() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let sampled = ["--do-sample", "--seed", "3"];
    for options in [&[][..], &sampled] {
        let plain = first(&place, &folder, options);
        for guesses in [["--draft-model", &folder], ["--prompt-lookup-num-tokens", "4"]] {
            assert_eq!(first(&place, &folder, &[options, &guesses].concat()), plain);
        }
    }
}

#[test]
fn log_probabilities_come_on_request() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    assert!(first(&place, &folder, &[]).get("log_probs").is_none());
    let found = first(&place, &folder, &["--log-probs"]);
    let list = found["log_probs"].as_array().unwrap();
    assert_eq!(list.len(), 12);
    assert!(
        list.iter().all(|of| of["model"].as_f64() < Some(0.0) && of["processed"] == of["model"])
    );
}

#[test]
fn a_text_outgrows_the_context_where_a_window_may_slide() {
    let (place, folder) = (Place::new(), model("bbpe-trained"));
    let args = ["generate", &folder, "--prompt", "Nenek", "--max-new-tokens", "200"];
    place.refused(&args, &["`max_new_tokens` is 200", "`sliding_window`"]);
    let found = place.json(&[&args[..], &["--sliding-window", "20"]].concat());
    assert!(found["sequences"][0]["ids"].as_array().unwrap().len() > 200);
    let long = "Nenek pergi ke pasar. ".repeat(60);
    let args = ["generate", &folder, "--prompt", &long, "--max-new-tokens", "5"];
    place.refused(&args, &["prompt 0 has", "expected at most n_positions"]);
    place.ok(&[&args[..], &["--truncate-prompt"]].concat());
}
