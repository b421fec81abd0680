//! Stop strings, time and cancellation.

use std::time::{Duration, Instant};

use gpt2_core::tokenizer::Tokenizer;
use gpt2_infer::{
    Cancellation, Error, FinishReason, GenerationConfig, Generator, Sequence, generate,
};

use crate::support::{greedy, model, prompts, sampled, text_model};

fn generator() -> (Tokenizer, Generator) {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    (tokenizer, generator)
}

fn one(generator: &Generator, prompt: &[u32], config: &GenerationConfig) -> Sequence {
    generator.generate(&[prompt.to_vec()], config).unwrap().remove(0).remove(0)
}

fn stopping(config: &GenerationConfig, stops: &[&str]) -> GenerationConfig {
    let stop_strings = stops.iter().map(|stop| stop.to_string()).collect();
    GenerationConfig { stop_strings, ..config.clone() }
}

/// For every seed: the text ends with the first token by which it contains the string.
#[test]
fn a_text_ends_with_the_token_that_completes_a_stop_string() {
    let (tokenizer, generator) = generator();
    let prompt = tokenizer.encode_ids("satu").unwrap();
    let text = |ids: &[u32]| tokenizer.decode(ids, false).unwrap();
    let mut across_borders = 0;
    for seed in 0..30 {
        let free = one(&generator, &prompt, &sampled(14, seed));
        let whole = text(&free.ids);
        // Three characters from the middle: they may lie in several tokens and begin in the prompt.
        let characters: Vec<char> = whole.chars().collect();
        let from = (text(&prompt).chars().count() - 1).max(characters.len() / 2 - 1);
        let stop: String = characters[from..].iter().take(3).collect();
        let in_prompt = text(&prompt).contains(&stop);
        if stop.contains('\u{FFFD}') || stop.is_empty() || in_prompt {
            continue;
        }
        let found = one(&generator, &prompt, &stopping(&sampled(14, seed), &["@@@", &stop]));
        let new = |length: usize| text(&free.ids[..length]).contains(&stop);
        let expected = (prompt.len() + 1..=free.ids.len()).find(|&length| new(length)).unwrap();
        assert_eq!(found.ids, free.ids[..expected], "{stop:?} in {whole:?}");
        assert_eq!(found.finish_reason, FinishReason::StopString);
        across_borders += usize::from(!text(&free.ids[expected - 1..expected]).contains(&stop));
    }
    assert!(across_borders > 3, "{across_borders}");
}

#[test]
fn a_stop_string_of_the_prompt_ends_nothing_but_may_begin_there() {
    let (tokenizer, generator) = generator();
    let prompt = tokenizer.encode_ids("satu dua").unwrap();
    let free = one(&generator, &prompt, &greedy(5));
    let within = stopping(&greedy(5), &["satu"]);
    assert_eq!(one(&generator, &prompt, &within).ids.len(), free.ids.len());
    let next = tokenizer.decode(&free.ids[..prompt.len() + 1], false).unwrap();
    let border: String = next.chars().skip(6).collect();
    let found = one(&generator, &prompt, &stopping(&greedy(5), &[&border]));
    assert_eq!(found.ids.len(), prompt.len() + 1, "{border:?}");
}

#[test]
fn beams_end_at_stop_strings_too() {
    let (tokenizer, generator) = generator();
    let prompt = tokenizer.encode_ids("dua").unwrap();
    let config = GenerationConfig { num_beams: 3, ..greedy(8) };
    let free = tokenizer.decode(one(&generator, &prompt, &config).continuation(), false).unwrap();
    let stop: String = free.chars().take(1).collect();
    let config = GenerationConfig { num_return_sequences: 3, ..stopping(&config, &[&stop]) };
    let found = generator.generate(&[prompt], &config).unwrap();
    let stopped = |sequence: &&Sequence| sequence.finish_reason == FinishReason::StopString;
    assert!(found[0].iter().any(|sequence| stopped(&sequence)));
    for sequence in found[0].iter().filter(stopped) {
        assert!(tokenizer.decode(&sequence.ids, false).unwrap().contains(&stop));
    }
}

#[test]
fn stop_strings_need_a_tokenizer_and_a_character() {
    for (config, part) in [
        (stopping(&greedy(3), &["end"]), "`stop_strings` is [\"end\"]"),
        (stopping(&greedy(3), &["end", ""]), "`stop_strings` is \"\""),
    ] {
        let error = generate(&model(), &[vec![1]], &config).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
    }
}

#[test]
fn when_the_time_is_over_one_token_was_made() {
    for config in [sampled(20, 1), GenerationConfig { num_beams: 2, ..greedy(20) }] {
        let config = GenerationConfig { max_time: Some(1e-9), ..config };
        for sequence in generate(&model(), &prompts(), &config).unwrap().iter().flatten() {
            assert_eq!(sequence.continuation().len(), 1);
            assert_eq!(sequence.finish_reason, FinishReason::Time);
        }
    }
    let enough = GenerationConfig { max_time: Some(1e300), ..greedy(3) };
    let sequences = generate(&model(), &prompts(), &enough).unwrap();
    assert_eq!(sequences[0][0].finish_reason, FinishReason::Length);
}

#[test]
fn another_thread_can_cancel() {
    let cancellation = Cancellation::new();
    let generator = Generator::new(&model()).with_cancellation(&cancellation);
    let endless = GenerationConfig { sliding_window: Some(16), ..greedy(1 << 30) };
    let begin = Instant::now();
    let canceller = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancellation.cancel();
    });
    let sequences = generator.generate(&prompts(), &endless).unwrap();
    canceller.join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(60));
    for sequence in sequences.iter().flatten() {
        assert_eq!(sequence.finish_reason, FinishReason::Cancelled);
    }
}

#[test]
fn what_is_cancelled_before_it_begins_is_not_begun() {
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let generator = Generator::new(&model()).with_cancellation(&cancellation);
    for config in [greedy(5), GenerationConfig { num_beams: 3, ..greedy(5) }] {
        for sequence in generator.generate(&prompts(), &config).unwrap().iter().flatten() {
            assert_eq!(sequence.continuation(), [0; 0]);
            assert_eq!(sequence.finish_reason, FinishReason::Cancelled);
        }
    }
}

#[test]
fn times_that_are_none_are_refused() {
    for max_time in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let config = GenerationConfig { max_time: Some(max_time), ..greedy(3) };
        let error = generate(&model(), &[vec![1]], &config).unwrap_err();
        assert!(matches!(&error, Error::Option { option, .. } if option == "max_time"), "{error}");
    }
}
