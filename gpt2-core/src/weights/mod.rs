//! Checkpoints: reading and writing the weights of a model folder.
//!
//! Reading happens in three steps, so that a bad file is refused before a model is built from it:
//!
//! 1. [`Checkpoint::open`] finds the weight file of a folder and reads its table of contents:
//!    safetensors, `pytorch_model.bin` or TensorFlow's `tf_model.h5`, whole or in shards.
//! 2. [`Checkpoint::audit`] holds the table against [`names::parameters`] and lists every fault at
//!    once.
//! 3. [`WeightReader::read`] reads one tensor at a time, as `f32`, and [`WeightReader::finish`]
//!    refuses NaN and infinity.
//!
//! Writing is [`save::write_weights`], which streams one tensor at a time as well.
//!
//! # Example
//! ```no_run
//! use gpt2_core::{Gpt2Config, weights::{Checkpoint, names}};
//!
//! let config = Gpt2Config::from_file("gpt2/config.json")?;
//! let checkpoint = Checkpoint::open("gpt2")?;
//! let mut reader = checkpoint.audit(&config)?;
//! for (name, shape) in names::parameters(&config) {
//!     let values = reader.read(&name)?;
//!     assert_eq!(values.len(), shape.iter().product::<usize>());
//! }
//! reader.finish()?;
//! # Ok::<(), gpt2_core::Error>(())
//! ```

mod audit;
mod checkpoint;
mod element;
mod hdf5;
#[cfg(feature = "hub")]
pub mod hub;
pub mod names;
mod progress;
mod pytorch;
mod quantized;
mod safetensors;
pub mod save;
mod sharded;
#[cfg(test)]
mod tests;

pub(crate) use audit::Loaded;
pub use audit::WeightReader;
pub use checkpoint::{Checkpoint, TensorEntry, WeightFormat};
pub use progress::DownloadProgress;
pub(crate) use quantized::tensors_to_write;
pub use save::{
    QuantizedDType, StoredDType, TensorToWrite, TensorValues, write_safetensors, write_tensors,
    write_weights,
};
