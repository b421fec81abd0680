//! Integration tests of the `gpt2` binary: it is run as its users run it.

mod bad;
mod bench;
mod clean;
mod convert;
mod data;
mod eval;
mod features;
mod forward;
mod generate;
mod info;
mod lora;
mod lr_find;
mod quantize;
mod resume;
mod sentencepiece;
mod shipped_recipes;
mod support;
mod tokenizer;
mod tokens;
mod train;
mod transfer;
mod usage;
mod wiki;
