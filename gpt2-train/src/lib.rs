//! Causal language-model training for GPT-2.
//!
//! - [`data`] reads documents, cuts them into sequences ([`Example`]) and holds some out;
//!   [`Dataset`] checks them against a model.
//! - [`TrainingConfig`] has the numbers of a recipe, under the names of `TrainingArguments`;
//!   [`Trainer`] runs it and tells a [`Callback`] every [`Event`]; [`Outcome`] is what it leaves.
//! - [`Recipe`] is for what one set of numbers cannot say: stages, layer groups that are unfrozen
//!   one after the other, rates that differ between them, Keras' Adam; [`RecipeFile`] is one as TOML.
//! - [`Checkpoints`]: a run that was stopped or killed goes on, bit for bit.
//! - [`LrFinder`] sweeps over learning rates and suggests one.
//! - [`transfer_vocabulary`] gives a trained model another tokenizer, to go on in another language.
//! - [`evaluate()`] measures loss, perplexity and accuracy; [`unigram`] is a yardstick for them.
//! - [`report`] has what people see of a run: a progress bar, the card's table, a log with
//!   `metrics.jsonl`, TensorBoard's files, samples and a page ([`report::RunLog`]), the model card.
//! - [`objective`], [`optim`] and [`schedule`] are the parts of the loop, for loops of your own.
//!
//! # Example
//! ```
//! use gpt2_core::{Gpt2, Gpt2Config, device};
//! use gpt2_train::{Control, Dataset, Event, Trainer, TrainingConfig, data};
//!
//! # fn main() -> gpt2_train::Result<()> {
//! let config = Gpt2Config { vocab_size: 50, n_embd: 16, n_layer: 1, n_head: 2, ..Gpt2Config::gpt2() };
//! let model = Gpt2::init(&config, 42, &device::best()?)?;
//! let text: Vec<u32> = (0..640).map(|at| at % 50).collect();
//! let train = Dataset::new("training", data::blocks(&[text], None, 32), &config)?;
//! let recipe = TrainingConfig { num_train_epochs: 2.0, learning_rate: 1e-2, ..Default::default() };
//! let outcome = Trainer::new(recipe)?.run(model, &train, None, &mut |event: &Event, _: &Gpt2| {
//!     if let Event::Step(record) = event {
//!         println!("step {}: loss {:.3}", record.step, record.loss);
//!     }
//!     Ok(Control::Continue)
//! })?;
//! assert!(outcome.epochs[1].training_loss < outcome.epochs[0].training_loss);
//! # Ok(())
//! # }
//! ```

pub mod bench;
pub mod callback;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod groups;
pub mod lr_finder;
pub mod objective;
pub mod optim;
mod parallel;
mod plan;
pub mod precision;
pub mod recipe;
pub mod recipe_file;
pub mod record;
pub mod report;
pub mod schedule;
mod state;
pub mod trainer;
pub mod transfer;
pub mod unigram;

pub use callback::{Callback, Callbacks, Control, NoCallback};
pub use checkpoint::{Checkpoints, Resume};
pub use config::TrainingConfig;
pub use data::{Dataset, Example};
pub use error::{Error, Result};
pub use evaluate::{Evaluation, evaluate};
pub use groups::LayerGroups;
pub use lr_finder::{LrFinder, LrSweep};
pub use precision::ComputeDType;
pub use recipe::{Recipe, Stage, StageLength};
pub use recipe_file::{RecipeFile, recipe_toml, resolved_options};
pub use record::Event;
pub use schedule::{LrScheduler, OneCycle, Schedule};
pub use trainer::{Outcome, Trainer};
pub use transfer::{VocabularyTransfer, transfer_vocabulary};
