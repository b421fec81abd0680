//! Events of a run that nobody made, for what listens to runs.

use gpt2_core::{Gpt2, Gpt2Config, device};
use gpt2_train::Event;
use gpt2_train::record::{EpochRecord, EvaluationRecord, StepRecord};

pub fn model() -> Gpt2 {
    let config = Gpt2Config {
        vocab_size: 40,
        n_positions: 16,
        n_embd: 8,
        n_layer: 1,
        n_head: 2,
        ..Gpt2Config::gpt2()
    };
    Gpt2::init(&config, 1, &device::test_device().autodiff()).unwrap()
}

pub fn started(step: usize, total_steps: usize) -> Event {
    Event::Started { step, evaluated: None, total_steps }
}

/// A step of half a second, four of which are an epoch.
pub fn step(step: usize) -> Event {
    Event::Step(StepRecord {
        step,
        epoch: step as f64 / 4.0,
        loss: 4.0 / step as f64,
        learning_rate: 1e-3,
        lowest_learning_rate: 1e-3,
        grad_norm: 0.5,
        tokens: 64,
        sequence_length: 16.0,
        tokens_per_second: 128.0,
        ..StepRecord::default()
    })
}

pub fn evaluation(step: usize, eval_loss: f64) -> EvaluationRecord {
    EvaluationRecord {
        step,
        epoch: step as f64 / 4.0,
        eval_loss,
        eval_accuracy: 0.5,
        eval_perplexity: eval_loss.exp(),
        seconds: 1.5,
    }
}

pub fn evaluated(step: usize, eval_loss: f64) -> Event {
    Event::Evaluated(evaluation(step, eval_loss))
}

pub fn epoch(step: usize, eval_loss: f64) -> Event {
    Event::Epoch(EpochRecord {
        step,
        epoch: step as f64 / 4.0,
        training_loss: (step > 0).then_some(3.25),
        evaluation: Some(evaluation(step, eval_loss)),
        seconds: 61.0,
    })
}
