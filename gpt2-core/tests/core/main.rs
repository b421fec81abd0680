//! Integration tests of `gpt2-core`, in one binary.

mod model;
