//! The ladder of parity, over every root of fixtures that is present.

mod bad;
mod compare;
mod decode;
mod draws;
mod evaluation;
mod features;
mod formats;
mod forward;
mod generation;
mod gradients;
mod greedy;
mod json;
mod lora;
mod lr_find;
mod models;
mod pipeline;
mod precision;
mod processors;
mod quantization;
mod root;
mod stages;
mod tensors;
mod tokenization;
mod tolerance;
mod training;
mod transfer;
