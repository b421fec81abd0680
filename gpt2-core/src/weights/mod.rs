//! Checkpoints: reading and writing the weights of a model folder.

pub mod names;
