//! Text as it is made.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_core::Stream;
use gpt2_infer::logits::{EXCLUDED, LogitsProcessor};
use gpt2_infer::{AsyncTextStream, Error, FinishReason, GenerationConfig, Generator, TextPiece};

use crate::support::{greedy, model, sampled, text_model};

fn pieces(generator: &Generator, prompt: &[u32], config: &GenerationConfig) -> Vec<TextPiece> {
    let stream = generator.stream(prompt, config, true).unwrap();
    stream.collect::<Result<_, _>>().unwrap()
}

#[test]
fn pieces_make_up_the_text_and_split_no_character() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let prompt = tokenizer.encode_ids("日本語").unwrap();
    // A prompt that breaks off in the middle of a character.
    let prompt = &prompt[..prompt.len() - 1];
    for seed in 0..10 {
        let config = GenerationConfig { log_probs: seed % 2 == 0, ..sampled(20, seed) };
        let stream = generator.stream(prompt, &config, true).unwrap();
        let mut text = stream.prompt_text().to_string();
        let pieces: Vec<TextPiece> = stream.collect::<Result<_, _>>().unwrap();
        text.extend(pieces.iter().map(|piece| piece.text.as_str()));
        let whole = generator.generate(&[prompt.to_vec()], &config).unwrap().remove(0).remove(0);
        assert_eq!(text, tokenizer.decode(&whole.ids, true).unwrap());
        let tokens = pieces.iter().flat_map(|piece| &piece.tokens);
        assert_eq!(tokens.clone().map(|token| token.id).collect::<Vec<_>>(), whole.continuation());
        assert!(tokens.clone().all(|token| token.log_probs.is_some() == config.log_probs));
        let (last, others) = pieces.split_last().unwrap();
        assert_eq!(last.finish_reason, Some(FinishReason::Length));
        assert!(others.iter().all(|p| p.finish_reason.is_none() && !p.text.is_empty()));
    }
}

#[test]
fn stop_strings_never_leak() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let prompt = tokenizer.encode_ids("dua").unwrap();
    let mut stopped = 0;
    for seed in 0..40 {
        let free = pieces(&generator, &prompt, &sampled(16, seed));
        let free: String = free.iter().map(|piece| piece.text.as_str()).collect();
        let stop: String = free.chars().skip(6).take(3).filter(|c| *c != '\u{FFFD}').collect();
        if stop.is_empty() || !free.contains(&stop) {
            continue;
        }
        let config = GenerationConfig { stop_strings: vec![stop.clone()], ..sampled(16, seed) };
        let cut = pieces(&generator, &prompt, &config);
        let reason = cut.last().and_then(|piece| piece.finish_reason);
        let cut: String = cut.iter().map(|piece| piece.text.as_str()).collect();
        if reason == Some(FinishReason::StopString) {
            stopped += 1;
            assert!(free.starts_with(&cut) && !cut.contains(&stop), "{stop:?}: {cut:?}");
            assert!(free[cut.len()..].starts_with(&stop), "{stop:?}: {cut:?} of {free:?}");
        }
    }
    assert!(stopped > 10, "{stopped}");
}

/// Lets one token follow the prompt, and none follow it.
#[derive(Debug, Clone)]
struct Only(u32);

impl LogitsProcessor for Only {
    fn process(&mut self, ids: &[u32], scores: &mut [f32]) {
        let score = scores[self.0 as usize];
        scores.fill(EXCLUDED);
        if ids.len() == 1 {
            scores[self.0 as usize] = score;
        }
    }
}

#[test]
fn tokens_without_a_text_come_before_an_error() {
    let (tokenizer, model) = text_model();
    // The first byte of a character of four.
    let byte = tokenizer.token_to_id("ð").unwrap();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer).with_processor(Only(byte));
    let mut stream = generator.stream(&[260], &greedy(9), false).unwrap();
    let piece = stream.next().unwrap().unwrap();
    assert_eq!(piece.text, "");
    assert_eq!(piece.tokens.iter().map(|token| token.id).collect::<Vec<_>>(), [byte]);
    assert!(matches!(stream.next(), Some(Err(Error::NoToken { length: 2, .. }))));
    assert!(stream.next().is_none());
}

#[test]
fn a_stream_can_be_left_and_its_sequence_kept() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let mut stream = generator.stream(&[260], &greedy(9), false).unwrap();
    assert_eq!(stream.prompt_ids(), [260]);
    let first = stream.next().unwrap().unwrap();
    let sequence = stream.into_sequence();
    assert_eq!(sequence.finish_reason, FinishReason::Cancelled);
    assert_eq!(sequence.continuation().len(), first.tokens.len());
}

/// Wakes the thread that waits.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The smallest async runtime: waits for one future.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// All that a stream gives.
fn collected(mut stream: AsyncTextStream) -> Vec<Result<TextPiece, Error>> {
    block_on(async move {
        let mut found = Vec::new();
        while let Some(piece) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
            found.push(piece);
        }
        found
    })
}

#[test]
fn async_code_gets_the_same_pieces() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let prompt = tokenizer.encode_ids("tiga").unwrap();
    let stream = generator.stream(&prompt, &sampled(25, 2), true).unwrap().into_async().unwrap();
    let found = collected(stream).into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(found, pieces(&generator, &prompt, &sampled(25, 2)));
}

/// Fails where no error can be returned.
#[derive(Debug, Clone)]
struct Panics;

impl LogitsProcessor for Panics {
    fn process(&mut self, _ids: &[u32], _scores: &mut [f32]) {
        panic!("on purpose");
    }
}

#[test]
fn async_code_is_told_of_a_panic_and_of_no_other_end() {
    let (tokenizer, model) = text_model();
    let generator = Generator::new(&model).with_tokenizer(&tokenizer);
    let mut over = generator.stream(&[260], &greedy(3), true).unwrap();
    over.by_ref().for_each(drop);
    assert!(collected(over.into_async().unwrap()).is_empty());

    let stream = generator.with_processor(Panics).stream(&[260], &greedy(3), true).unwrap();
    let found = collected(stream.into_async().unwrap());
    assert!(matches!(found[..], [Err(Error::Thread(_))]), "{found:?}");
}

#[test]
fn a_stream_is_one_text_of_a_generator_that_knows_text() {
    let (tokenizer, text) = text_model();
    let with = Generator::new(&text).with_tokenizer(&tokenizer);
    let beams = GenerationConfig { num_beams: 2, ..greedy(3) };
    let several = GenerationConfig { num_return_sequences: 2, ..sampled(3, 1) };
    for (generator, config, option) in [
        (&Generator::new(&model()), greedy(3), "tokenizer"),
        (&with, beams, "num_beams"),
        (&with, several, "num_return_sequences"),
    ] {
        let error = generator.stream(&[1], &config, true).unwrap_err();
        let named = matches!(&error, Error::Option { option: found, .. } if found == option);
        assert!(named, "{error}");
    }
}
