//! Parity with Hugging Face transformers; the content of this package is its integration tests.
//!
//! `make_fixtures.py` writes `fixtures/` (see the README there); `tests/parity` climbs the ladder
//! over it, rung by rung: weights, logits, loss, every gradient, loss curves, evaluation, token ids
//! of texts, generated ids, hostile files (`docs/parity.md` lists all and how near they are). The
//! same tests run over any other folder of that layout:
//!
//! - `GPT2_REFERENCE` names a second root of fixtures, which must then be there.
//! - `GPT2_TEST_DEVICE` names one device in place of all CPU backends.
//! - `GPT2_PARITY_MEASURE` writes every measured distance to standard error.
