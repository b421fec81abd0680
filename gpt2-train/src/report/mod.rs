//! What people see of a run: a progress bar, a table, a log, a model card.

mod card;
mod lr_plot;
mod lr_table;
mod metrics;
mod progress;
mod table;

pub use card::ModelCard;
pub use lr_plot::lr_plot;
pub use lr_table::lr_table;
pub use metrics::MetricsWriter;
pub use progress::TrainingProgress;
pub use table::{best_epoch, duration, epoch_number, epoch_table, markdown_table};
