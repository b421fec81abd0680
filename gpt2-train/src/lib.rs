//! Causal language-model training for GPT-2.

pub mod config;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod objective;
pub mod optim;
pub mod record;
pub mod report;
pub mod schedule;
pub mod trainer;
pub mod unigram;

pub use config::TrainingConfig;
pub use data::{Dataset, Example};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use record::Event;
pub use trainer::{Outcome, Trainer};
