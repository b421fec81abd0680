//! Parity with Hugging Face transformers; the content of this package is its integration tests.
//!
//! `make_fixtures.py` writes `fixtures/` (see the README there), `tests/parity` climbs the ladder over it, rung by
//! rung: weights, logits, loss, every gradient, loss curves, evaluation, generation, tokenization, hostile files. The
//! same tests run over any other folder of that layout: set `GPT2_REFERENCE` to it.
