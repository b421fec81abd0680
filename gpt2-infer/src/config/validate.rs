//! What can be said against options before a prompt is seen.

use gpt2_core::Gpt2Config;

use super::GenerationConfig;
use crate::logits::{RepetitionPenalty, Temperature, TopP};
use crate::{Error, Result};

/// Sequences of one prompt are computed side by side; beyond this no machine holds them.
const MOST_SEQUENCES: usize = 1 << 16;

impl GenerationConfig {
    /// Checks the options for a model; [`generate`](crate::generate) does so as well.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first option that is out of range, contradicts another one, or
    /// is a token that the model does not have. Where `transformers` only warns (a minimum length
    /// beyond the maximum) this is an error too.
    pub fn validate(&self, model: &Gpt2Config) -> Result<()> {
        self.check_ranges()?;
        self.check_ids(model.vocab_size)?;
        if self.num_return_sequences > 1 && !self.do_sample {
            let expected = "1 unless do_sample is true: all would be the same";
            return Err(Error::option("num_return_sequences", self.num_return_sequences, expected));
        }
        if let (Some(least), Some(most)) = (self.min_new_tokens, self.max_new_tokens)
            && least > most
        {
            let expected = format!("at most max_new_tokens = {most}");
            return Err(Error::option("min_new_tokens", least, expected));
        }
        if let (None, None, Some(most)) =
            (self.min_new_tokens, self.max_new_tokens, self.max_length)
            && self.min_length > most
        {
            let expected = format!("at most max_length = {most}");
            return Err(Error::option("min_length", self.min_length, expected));
        }
        Ok(())
    }

    /// Checks each option on its own, and temperature where it has an effect.
    pub(super) fn check_ranges(&self) -> Result<()> {
        for (option, value) in [
            ("max_length", self.max_length),
            ("max_new_tokens", self.max_new_tokens),
            ("num_return_sequences", Some(self.num_return_sequences)),
        ] {
            if value == Some(0) {
                return Err(Error::option(option, 0, "at least 1"));
            }
        }
        if self.num_return_sequences > MOST_SEQUENCES {
            let expected = format!("1 to {MOST_SEQUENCES}");
            return Err(Error::option("num_return_sequences", self.num_return_sequences, expected));
        }
        // Files of greedy models say `"temperature": 0`, to no effect; a negative one is a mistake.
        if self.do_sample || self.temperature != 0.0 {
            Temperature::new(self.temperature)?;
        }
        TopP::new(self.top_p)?;
        RepetitionPenalty::new(self.repetition_penalty)?;
        Ok(())
    }

    /// Checks that the model has the special tokens.
    pub(super) fn check_ids(&self, vocab_size: usize) -> Result<()> {
        let ids = [("bos_token_id", self.bos_token_id), ("pad_token_id", self.pad_token_id)];
        let ends = self.eos_token_id.iter().map(|&id| ("eos_token_id", Some(id)));
        for (option, id) in ids.into_iter().chain(ends) {
            if let Some(id) = id
                && id as usize >= vocab_size
            {
                let expected = format!("less than vocab_size = {vocab_size}");
                return Err(Error::option(option, id, expected));
            }
        }
        Ok(())
    }
}
