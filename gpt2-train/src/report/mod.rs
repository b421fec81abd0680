//! What people see of a run: a progress bar, a table, a log, a model card.

mod card;
mod metrics;
mod progress;
mod table;

pub use card::ModelCard;
pub use metrics::MetricsWriter;
pub use progress::TrainingProgress;
pub use table::{best_epoch, duration, epoch_number, epoch_table, markdown_table};
