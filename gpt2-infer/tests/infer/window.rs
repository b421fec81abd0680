//! Prompts that are too long and texts that outgrow the context.

use gpt2_infer::{Error, FinishReason, GenerationConfig, generate};

use crate::support::{POSITIONS, greedy, ids, model, prompts, sampled};

fn long_prompt() -> Vec<u32> {
    (0..50).map(|at| (at * 37 + 5) % 101).collect()
}

#[test]
fn the_last_tokens_of_a_long_prompt_are_kept() {
    let config = GenerationConfig { truncate_prompt: true, ..greedy(6) };
    let cut = generate(&model(), &[long_prompt()], &config).unwrap().remove(0).remove(0);
    // Of 33 tokens that a text may have, the last of which is not read, 6 are new.
    let kept = &long_prompt()[50 - (POSITIONS + 1 - 6)..];
    assert_eq!(cut.ids[..cut.prompt_length], *kept);
    assert_eq!(cut.ids, ids(&model(), &[kept.to_vec()], &greedy(6))[0]);
}

#[test]
fn a_longest_text_leaves_a_cut_prompt_room_for_twenty_tokens() {
    for (max_length, kept) in [(POSITIONS, POSITIONS - 20), (25, 5), (10, 1)] {
        let config = GenerationConfig {
            truncate_prompt: true,
            max_length: Some(max_length),
            ..GenerationConfig::default()
        };
        let cut = generate(&model(), &[long_prompt()], &config).unwrap().remove(0).remove(0);
        assert_eq!((cut.prompt_length, cut.ids.len()), (kept, max_length));
        let whole = generate(&model(), &[vec![5; 8]], &config).unwrap().remove(0).remove(0);
        assert_eq!(whole.prompt_length, 8);
    }
}

#[test]
fn a_prompt_that_fits_is_not_cut() {
    let config = GenerationConfig { truncate_prompt: true, ..greedy(6) };
    assert_eq!(ids(&model(), &prompts(), &config), ids(&model(), &prompts(), &greedy(6)));
}

#[test]
fn without_the_option_a_long_prompt_is_an_error_that_says_so() {
    let error = generate(&model(), &[long_prompt()], &greedy(6)).unwrap_err();
    let wanted = "prompt 0 has 50 tokens, expected at most n_positions = 32";
    assert!(error.to_string().starts_with(wanted), "{error}");
}

/// The next token after the last tokens of a text, by a full pass.
fn next(text: &[u32]) -> u32 {
    gpt2_infer::next_tokens(&model(), text, 1, None).unwrap()[0].id
}

#[test]
fn a_sliding_window_goes_on_with_the_last_tokens() {
    for window in [1, 12, POSITIONS] {
        let config = GenerationConfig { sliding_window: Some(window), ..greedy(70) };
        let text = ids(&model(), &[vec![5, 9, 2]], &config).remove(0);
        assert_eq!(text.len(), 73);
        let mut start = 0;
        for length in 3..text.len() {
            if length - start > POSITIONS {
                start = length - window;
            }
            assert_eq!(text[length], next(&text[start..length]), "window {window}, {length}");
        }
    }
}

#[test]
fn each_text_slides_by_its_own_length() {
    for config in [greedy(60), sampled(60, 4)] {
        let config = GenerationConfig { sliding_window: Some(20), ..config };
        let together = ids(&model(), &prompts(), &config);
        for (prompt, together) in prompts().iter().zip(together) {
            assert_eq!(ids(&model(), std::slice::from_ref(prompt), &config)[0], together);
        }
        let without_cache = GenerationConfig { use_cache: false, ..config.clone() };
        assert_eq!(ids(&model(), &prompts(), &config), ids(&model(), &prompts(), &without_cache));
    }
}

#[test]
fn beams_slide_too() {
    let config = GenerationConfig { sliding_window: Some(20), num_beams: 3, ..greedy(50) };
    let with_cache = ids(&model(), &prompts(), &config);
    assert!(with_cache.iter().zip(prompts()).all(|(text, prompt)| text.len() == prompt.len() + 50));
    let without_cache = GenerationConfig { use_cache: false, ..config };
    assert_eq!(with_cache, ids(&model(), &prompts(), &without_cache));
}

#[test]
fn a_window_is_part_of_the_context() {
    for window in [0, POSITIONS + 1] {
        let config = GenerationConfig { sliding_window: Some(window), ..greedy(4) };
        let error = generate(&model(), &[vec![1]], &config).unwrap_err();
        let named = matches!(&error, Error::Option { option, .. } if option == "sliding_window");
        assert!(named, "{error}");
    }
}

#[test]
fn with_a_window_the_default_length_goes_beyond_the_context() {
    let config = GenerationConfig { sliding_window: Some(8), ..GenerationConfig::default() };
    let text = generate(&model(), &[vec![4; POSITIONS]], &config).unwrap().remove(0).remove(0);
    assert_eq!((text.ids.len(), text.finish_reason), (POSITIONS + 20, FinishReason::Length));
}
