//! What people see of a run: a progress bar, a table, files that log it, a page, a model card.
//!
//! [`TrainingProgress`] is for the terminal, and so is `Dashboard` (feature `dashboard`); [`RunLog`]
//! writes everything that is kept. All are [`Callback`](crate::Callback)s.

mod card;
#[cfg(feature = "dashboard")]
mod dashboard;
mod html;
mod lines;
mod log;
mod lr_plot;
mod lr_table;
mod metrics;
mod progress;
mod samples;
mod table;
mod tensorboard;

pub use card::ModelCard;
#[cfg(feature = "dashboard")]
pub use dashboard::Dashboard;
pub use html::Report;
pub use log::RunLog;
pub use lr_plot::lr_plot;
pub use lr_table::lr_table;
pub use metrics::{MetricsRecord, MetricsWriter, read_metrics};
pub use progress::TrainingProgress;
pub use samples::{Sample, SampleRecord, SamplerError};
pub use table::{best_epoch, duration, epoch_number, epoch_table, markdown_table};
pub use tensorboard::TensorBoardWriter;
