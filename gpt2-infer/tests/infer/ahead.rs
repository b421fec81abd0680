//! What a device chooses is what the host would choose: with `log_probs` it is asked for every token.

use std::ops::ControlFlow;

use gpt2_infer::{
    Cancellation, FinishReason, GenerationConfig, Generator, Sequence, Token, generate_with,
};

use crate::support::{POSITIONS, greedy, ids, model, prompts, sampled, text_model};

/// Sequences and tokens in the order in which they came.
fn heard(generator: &Generator, config: &GenerationConfig) -> (Vec<Vec<Sequence>>, Vec<Token>) {
    let mut tokens = Vec::new();
    let sequences = generator.generate_with(&prompts(), config, |mut token| {
        token.log_probs = None;
        tokens.push(token);
        ControlFlow::Continue(())
    });
    let mut sequences = sequences.unwrap();
    sequences.iter_mut().flatten().for_each(|sequence| sequence.log_probs = None);
    (sequences, tokens)
}

fn assert_equals_host(config: &GenerationConfig) {
    let generator = Generator::new(&model());
    let host = GenerationConfig { log_probs: true, ..config.clone() };
    assert_eq!(heard(&generator, config), heard(&generator, &host), "{config:?}");
    // A cache that another generation has left changes nothing, nor do groups of rows.
    let few = generator.with_memory_limit(40_000);
    assert_eq!(heard(&few, config).0, heard(&few, &host).0, "{config:?}");
}

#[test]
fn greedy_ids_are_those_of_the_host() {
    assert_equals_host(&greedy(1));
    assert_equals_host(&greedy(14));
}

#[test]
fn drawn_ids_are_those_of_the_host() {
    let shaped = GenerationConfig { temperature: 0.8, top_k: 12, top_p: 0.9, ..sampled(12, 3) };
    for config in [
        sampled(12, 5),
        GenerationConfig { num_return_sequences: 3, ..sampled(9, 6) },
        GenerationConfig { top_k: 5, ..sampled(12, 7) },
        GenerationConfig { top_p: 0.5, ..sampled(12, 8) },
        shaped,
    ] {
        assert_equals_host(&config);
    }
}

#[test]
fn rows_end_where_they_do_on_the_host() {
    let ends = |config| GenerationConfig { eos_token_id: (0..30).collect(), ..config };
    let several = |seed| GenerationConfig { num_return_sequences: 2, ..ends(sampled(14, seed)) };
    let lengths = GenerationConfig { max_new_tokens: None, max_length: Some(14), ..greedy(1) };
    for config in [ends(greedy(14)), several(2), several(3), lengths] {
        assert_equals_host(&config);
    }
    let sequences = ids(&model(), &prompts(), &several(2));
    let first = sequences[0].len();
    assert!(sequences.iter().any(|ids| ids.len() != first), "some end in the middle");
}

#[test]
fn texts_that_fill_the_context_and_those_that_slide_are_those_of_the_host() {
    let full = GenerationConfig { max_length: Some(POSITIONS + 1), ..GenerationConfig::default() };
    assert_equals_host(&full);
    let window = Some(POSITIONS / 2);
    assert_equals_host(&GenerationConfig { sliding_window: window, ..greedy(12) });
    assert_equals_host(&GenerationConfig { sliding_window: window, ..greedy(2 * POSITIONS) });
}

#[test]
fn a_seed_gives_one_text_and_the_likeliest_token_alone_is_greedy() {
    let model = model();
    let config = GenerationConfig { top_k: 20, ..sampled(12, 9) };
    assert_eq!(ids(&model, &prompts(), &config), ids(&model, &prompts(), &config));
    let likeliest = GenerationConfig { top_k: 1, ..sampled(12, 9) };
    assert_eq!(ids(&model, &prompts(), &likeliest), ids(&model, &prompts(), &greedy(12)));
}

#[test]
fn whoever_stops_gets_what_was_told_and_no_more() {
    let model = model();
    for stop in 1..12 {
        let mut told = Vec::new();
        let sequences = generate_with(&model, &prompts(), &greedy(9), |token| {
            told.push((token.prompt, token.id));
            if told.len() == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(told.len(), stop);
        for (prompt, sequence) in sequences.unwrap().iter().map(|of| &of[0]).enumerate() {
            let own = told.iter().filter(|token| token.0 == prompt).map(|token| token.1);
            assert_eq!(own.collect::<Vec<_>>(), sequence.continuation());
            assert_eq!(sequence.finish_reason, FinishReason::Cancelled);
        }
    }
}

#[test]
fn a_switch_ends_a_generation_before_its_next_step() {
    let cancellation = Cancellation::new();
    let generator = Generator::new(&model()).with_cancellation(&cancellation);
    let mut told = 0;
    let sequences = generator.generate_with(&prompts(), &greedy(9), |_| {
        told += 1;
        // In the middle of the second step, which is told to its end.
        if told == prompts().len() + 2 {
            cancellation.cancel();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(told, 2 * prompts().len());
    assert!(sequences.unwrap().iter().all(|of| of[0].continuation().len() == 2));
}

/// A device has a queue for every thread.
#[test]
fn a_stream_goes_on_in_another_thread() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let prompt = tokenizer.encode_ids("satu dua").unwrap();
    let whole = generator.generate(std::slice::from_ref(&prompt), &greedy(12)).unwrap();
    let mut stream = generator.stream(&prompt, &greedy(12), false).unwrap();
    loop {
        let (back, is_over) = std::thread::spawn(move || {
            let is_over = stream.next().map(Result::unwrap).is_none();
            (stream, is_over)
        })
        .join()
        .unwrap();
        stream = back;
        if is_over {
            break;
        }
    }
    assert_eq!(stream.into_sequence(), whole[0][0]);
}
