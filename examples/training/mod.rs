//! What the programs share that train a published model anew: options, corpus, the run and what it
//! leaves.

mod job;
mod options;
mod texts;
mod transfer;

pub use job::{Job, Program};
pub use options::{JobOptions, Rehearsal};
pub use texts::{documents, paragraphs, stories};
pub use transfer::{TransferOptions, transfer};
