//! The ladder of parity, over every root of fixtures that is present.

mod bad;
mod compare;
mod decode;
mod evaluation;
mod formats;
mod forward;
mod gradients;
mod greedy;
mod models;
mod root;
mod tensors;
mod tolerance;
mod training;
