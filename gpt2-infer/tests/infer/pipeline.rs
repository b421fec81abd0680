//! The pipeline: a model folder, text in and text out.

use gpt2_core::pretrained::ModelToSave;
use gpt2_core::tokenizer::{Tokenizer, TrainBpeOptions};
use gpt2_core::weights::StoredDType;
use gpt2_core::{Gpt2, Gpt2Config, ModelFolder, device};
use gpt2_infer::logits::{EXCLUDED, LogitsProcessor};
use gpt2_infer::{
    Cancellation, Error, FeatureOptions, FinishReason, GenerationConfig, Generator, Pipeline,
    Pooling, Window, generate, loss, next_tokens, score_continuations,
};
use serde_json::json;

use crate::support::{model_config, object};

const TEXT: &str = "Nenek membaca buku. Kakek membaca koran. Ibu memasak nasi.";

fn tokenizer() -> Tokenizer {
    let options = TrainBpeOptions { vocab_size: 280, ..TrainBpeOptions::default() };
    Tokenizer::train_bpe([TEXT.repeat(3)].into_iter(), &options).unwrap()
}

fn model(tokenizer: &Tokenizer) -> Gpt2 {
    let config = Gpt2Config {
        vocab_size: tokenizer.vocab_size(),
        bos_token_id: tokenizer.bos_token_id(),
        ..model_config()
    };
    Gpt2::init(&config, 3, &device::test_device()).unwrap()
}

fn pipeline() -> Pipeline {
    let tokenizer = tokenizer();
    let model = model(&tokenizer);
    let config = GenerationConfig::from_model_config(model.config()).unwrap();
    Pipeline::new(model, tokenizer, config).unwrap()
}

/// The pipeline's own options, without an end of text.
fn options(pipeline: &Pipeline, new: usize) -> GenerationConfig {
    GenerationConfig {
        max_new_tokens: Some(new),
        eos_token_id: vec![],
        ..pipeline.generation_config().clone()
    }
}

/// Hugging Face's kind of folder with a SentencePiece model that has a dummy prefix.
fn sentencepiece() -> Tokenizer {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../gpt2-core/tests/fixtures");
    Tokenizer::from_folder(format!("{fixtures}/sentencepiece/hugging_face")).unwrap()
}

#[test]
fn what_follows_a_prompt_keeps_its_space() {
    let tokenizer = sentencepiece();
    let config = Gpt2Config { vocab_size: 401, ..model_config() };
    let model = Gpt2::init(&config, 3, &device::test_device()).unwrap();
    let word = tokenizer.token_to_id("▁di").unwrap();
    let generation = GenerationConfig::from_model_config(&config).unwrap();
    let pipeline = Pipeline::new(model, tokenizer, generation).unwrap();
    let only = Generator::new(pipeline.model()).with_processor(Only(word as usize));
    let pipeline = pipeline.with_generator(only).unwrap();
    let options = options(&pipeline, 2);
    let found = pipeline.generate("Kucing", &options).unwrap().remove(0);
    assert_eq!((found.text.as_str(), found.continuation()), ("Kucing di di", " di di"));
    let pieces = pipeline.stream("Kucing", &options).unwrap();
    let pieces: Vec<String> = pieces.map(|piece| piece.unwrap().text).collect();
    assert_eq!(pieces.concat(), " di di");
    let stop = GenerationConfig { stop_strings: vec!["g d".to_string()], ..options };
    let found = pipeline.generate("Kucing", &stop).unwrap().remove(0);
    assert_eq!(found.text, "Kucing di");
    assert_eq!(found.sequence.finish_reason, FinishReason::StopString);
}

/// Lets only one token through.
#[derive(Debug, Clone)]
struct Only(usize);

impl LogitsProcessor for Only {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        for (id, score) in scores.iter_mut().enumerate() {
            *score = if id == self.0 { 0.0 } else { EXCLUDED };
        }
    }
}

#[test]
fn a_pipeline_generates_with_the_generator_that_it_is_given() {
    let pipeline = pipeline();
    let options = options(&pipeline, 3);
    let text = pipeline.generate("Ibu", &options).unwrap();
    let switch = Cancellation::new();
    let generator = pipeline.generator().clone().with_processor(Only(7)).with_cancellation(&switch);
    let changed = pipeline.clone().skip_special_tokens(false).with_generator(generator).unwrap();
    let found = changed.generate("Ibu", &options).unwrap().remove(0);
    assert_eq!(found.sequence.continuation(), [7, 7, 7]);
    // Stop strings, and special tokens in the text, as before.
    let stop =
        GenerationConfig { stop_strings: vec![found.continuation().into()], ..options.clone() };
    let stopped = changed.generate("Ibu", &stop).unwrap().remove(0);
    assert_eq!(stopped.sequence.finish_reason, FinishReason::StopString);
    let end = Only(pipeline.tokenizer().eos_token_id().unwrap() as usize);
    let ending = changed.clone().with_generator(pipeline.generator().clone().with_processor(end));
    let ended = ending.unwrap().generate("Ibu", &options).unwrap().remove(0);
    assert_eq!(ended.continuation(), "<|endoftext|>".repeat(3));
    switch.cancel();
    let cancelled = changed.generate("Ibu", &options).unwrap().remove(0);
    assert_eq!(cancelled.sequence.finish_reason, FinishReason::Cancelled);
    assert_eq!(pipeline.generate("Ibu", &options).unwrap(), text, "the other one is as it was");
}

#[test]
fn a_generator_of_another_model_brings_that_model() {
    let (pipeline, tokenizer) = (pipeline(), tokenizer());
    let other = Gpt2::init(model(&tokenizer).config(), 9, &device::test_device()).unwrap();
    let expected = next_tokens(&other, &tokenizer.encode_ids("Ibu").unwrap(), 1, None).unwrap();
    let changed = pipeline.clone().with_generator(Generator::new(&other)).unwrap();
    assert_eq!(changed.next_word("Ibu").unwrap().probability, expected[0].probability);
    changed.stream("Ibu", &options(&pipeline, 1)).unwrap();
    let small = Gpt2::init(&model_config(), 3, &device::test_device()).unwrap();
    let error = pipeline.with_generator(Generator::new(&small)).unwrap_err();
    assert!(error.to_string().contains("vocab_size 101"), "{error}");
}

#[test]
fn generation_defaults_that_are_refused_are_not_needed_for_the_rest() {
    let (place, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
    let (path, device) = (place.path().join("model"), device::test_device());
    let defaults = object(json!({ "guidance_scale": 1.5 }));
    let to_save = ModelToSave {
        model: &model(&tokenizer),
        tokenizer: Some(&tokenizer),
        generation_config: Some(&defaults),
        card: None,
        dtype: StoredDType::F32,
    };
    to_save.save(&path).unwrap();
    let error = Pipeline::from_pretrained(&path, &device).unwrap_err();
    assert!(matches!(error, Error::NotImplemented { .. }), "{error}");
    let folder = ModelFolder::open(&path).unwrap();
    let model = folder.model(&device).unwrap();
    let without = Pipeline::new(model, tokenizer, GenerationConfig::default()).unwrap();
    assert_eq!(without.loss(TEXT).unwrap(), pipeline().loss(TEXT).unwrap());
}

#[test]
fn a_pipeline_can_go_to_another_thread() {
    fn check<T: Send>(value: T) -> T {
        value
    }
    let pipeline = check(pipeline());
    let word = pipeline.next_word("Ibu").unwrap();
    let elsewhere = std::thread::spawn(move || pipeline.next_word("Ibu").unwrap());
    assert_eq!(elsewhere.join().unwrap(), word);
}

#[test]
fn a_folder_gives_model_tokenizer_and_generation_defaults() {
    let (place, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
    let folder = place.path().join("model");
    let defaults = object(json!({ "max_new_tokens": 4, "eos_token_id": [] }));
    let model = model(&tokenizer);
    let to_save = ModelToSave {
        model: &model,
        tokenizer: Some(&tokenizer),
        generation_config: Some(&defaults),
        card: None,
        dtype: StoredDType::F32,
    };
    to_save.save(&folder).unwrap();
    let found = Pipeline::from_pretrained(&folder, &device::test_device()).unwrap();
    assert_eq!(found.generation_config().max_new_tokens, Some(4));
    let text = found.generate("Kakek", found.generation_config()).unwrap();
    let expected = pipeline();
    let config = options(&expected, 4);
    assert_eq!(text, expected.generate("Kakek", &config).unwrap());

    std::fs::remove_file(folder.join("merges.txt")).unwrap();
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let missing = Pipeline::from_pretrained(&folder, &device::test_device()).unwrap_err();
    assert!(matches!(missing, Error::Core(_)), "{missing}");
    let nowhere = Pipeline::from_pretrained("nowhere", &device::test_device()).unwrap_err();
    assert!(nowhere.to_string().starts_with("nowhere: there is no config.json"), "{nowhere}");
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let tokenizer = tokenizer();
    let small = Gpt2::init(&model_config(), 3, &device::test_device()).unwrap();
    let error = Pipeline::new(small, tokenizer, GenerationConfig::default()).unwrap_err();
    assert!(error.to_string().contains("vocab_size 101"), "{error}");
}

#[test]
fn the_text_is_the_prompt_and_what_generate_adds() {
    let pipeline = pipeline();
    let config = options(&pipeline, 6);
    let prompts = ["Nenek membaca", "Ibu", "  spasi "];
    let ids: Vec<Vec<u32>> =
        prompts.iter().map(|text| pipeline.tokenizer().encode_ids(text).unwrap()).collect();
    let expected = generate(pipeline.model(), &ids, &config).unwrap();
    let found = pipeline.generate_batch(&prompts, &config).unwrap();
    for ((found, expected), prompt) in found.iter().zip(&expected).zip(prompts) {
        assert_eq!(found[0].sequence, expected[0]);
        let added = pipeline.tokenizer().decode(expected[0].continuation(), true).unwrap();
        assert_eq!(found[0].continuation(), added);
        assert_eq!(found[0].text, format!("{prompt}{added}"));
        assert_eq!(&pipeline.generate(prompt, &config).unwrap(), found);
    }
    let several = GenerationConfig { do_sample: true, num_return_sequences: 3, ..config };
    assert_eq!(pipeline.generate("Ibu", &several).unwrap().len(), 3);
}

#[test]
fn special_tokens_are_left_out_unless_asked_for() {
    let pipeline = pipeline();
    let plain = options(&pipeline, 6);
    let end = pipeline.tokenizer().eos_token_id().unwrap();
    let prompt = "<|endoftext|>Ibu";
    let found = pipeline.generate(prompt, &plain).unwrap().remove(0);
    assert_eq!(found.sequence.ids[0], end);
    assert!(found.text.starts_with(prompt), "a prompt stays as it was given: {}", found.text);

    let empty = pipeline.generate("", &plain).unwrap().remove(0);
    assert_eq!((empty.sequence.ids[0], empty.sequence.prompt_length), (end, 1));
    assert_eq!(empty.text, empty.continuation());
    assert!(!empty.text.contains("<|endoftext|>"));
    let pipeline = pipeline.skip_special_tokens(false);
    let kept = pipeline.generate("", &plain).unwrap().remove(0);
    assert_eq!(kept.text, format!("<|endoftext|>{}", empty.text));
    assert_eq!(kept.sequence.finish_reason, FinishReason::Length);
}

#[test]
fn pieces_of_a_stream_make_up_the_continuation() {
    let pipeline = pipeline();
    let config = options(&pipeline, 9);
    let whole = pipeline.generate("Kakek membaca", &config).unwrap().remove(0);
    let pieces = pipeline.stream("Kakek membaca", &config).unwrap();
    let text: String = pieces.map(|piece| piece.unwrap().text).collect();
    assert_eq!(text, whole.continuation());
}

#[test]
fn stop_strings_and_beams_are_the_generators() {
    let pipeline = pipeline();
    let config = options(&pipeline, 9);
    let beams = GenerationConfig { num_beams: 3, num_return_sequences: 2, ..config.clone() };
    let found = pipeline.generate("Ibu", &beams).unwrap();
    assert!(found.len() == 2 && found[0].sequence.score >= found[1].sequence.score);
    let whole = pipeline.generate("Ibu", &config).unwrap().remove(0);
    let stop: String = whole.continuation().chars().take(1).collect();
    let stopped = GenerationConfig { stop_strings: vec![stop], ..config };
    let short = pipeline.generate("Ibu", &stopped).unwrap().remove(0);
    assert!(short.sequence.ids.len() < whole.sequence.ids.len(), "{}", short.text);
    assert!(whole.text.starts_with(&short.text), "{}", short.text);
}

#[test]
fn next_words_are_the_next_tokens_as_text() {
    let pipeline = pipeline();
    let prompt = "Kakek membaca";
    let ids = pipeline.tokenizer().encode_ids(prompt).unwrap();
    let expected = next_tokens(pipeline.model(), &ids, 5, None).unwrap();
    let words = pipeline.next_words(prompt, 5).unwrap();
    for (word, expected) in words.iter().zip(&expected) {
        assert_eq!((word.id, word.probability), (expected.id, expected.probability));
        assert_eq!(word.text, pipeline.tokenizer().decode(&[word.id], false).unwrap());
    }
    assert_eq!(pipeline.next_word(prompt).unwrap(), words[0]);
    let greedy = pipeline.generate(prompt, &options(&pipeline, 1)).unwrap();
    assert_eq!(greedy[0].sequence.continuation(), [words[0].id]);
}

#[test]
fn losses_and_scores_are_those_of_the_ids() {
    let pipeline = pipeline();
    let encode = |text: &str| pipeline.tokenizer().encode_ids(text).unwrap();
    let text = "Nenek membaca buku.";
    let expected = loss(pipeline.model(), &encode(text)).unwrap();
    assert_eq!(pipeline.loss(text).unwrap(), expected);
    let window = Window { length: 32, stride: 16 };
    assert_eq!(pipeline.sliding_loss(text, window).unwrap(), expected);
    let long = TEXT.repeat(4);
    assert!(matches!(pipeline.loss(&long), Err(Error::Text { .. })));
    assert_eq!(pipeline.sliding_loss(&long, window).unwrap().tokens, encode(&long).len() - 1);

    let found = pipeline.score("Kakek", &[" membaca", " memasak nasi"]).unwrap();
    let ids = [encode(" membaca"), encode(" memasak nasi")];
    let expected = score_continuations(pipeline.model(), &encode("Kakek"), &ids).unwrap();
    assert_eq!(found, expected);
    assert!(matches!(pipeline.score("Kakek", &[""]), Err(Error::Continuation { .. })));
}

#[test]
fn features_are_those_of_the_ids() {
    let pipeline = pipeline();
    let options = FeatureOptions { pooling: Pooling::Last, ..FeatureOptions::default() };
    let texts = ["Ibu", "Kakek membaca koran."];
    let found = pipeline.features_batch(&texts, &options).unwrap();
    for (found, text) in found.iter().zip(texts) {
        assert_eq!(found.ids, pipeline.tokenizer().encode_ids(text).unwrap());
        assert_eq!((found.rows.len(), found.rows[0].len()), (1, 24));
        assert_eq!(pipeline.features(text, &options).unwrap().ids, found.ids);
    }
}
