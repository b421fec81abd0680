//! What can be said against options before a prompt is seen.

use gpt2_core::Gpt2Config;

use super::GenerationConfig;
use crate::logits::{
    EpsilonCutoff, EtaCutoff, ExponentialDecayLengthPenalty, MinP, NoBadWords, RepetitionPenalty,
    SequenceBias, Temperature, TopP, TypicalP,
};
use crate::{Error, Result};

/// Sequences and beams of one prompt are computed side by side; beyond this no machine holds them.
const MOST_SEQUENCES: usize = 1 << 16;

impl GenerationConfig {
    /// Checks the options for a model; generation does so as well.
    ///
    /// # Errors
    /// [`Error::Option`] naming the first option that is out of range, contradicts another one, or
    /// is a token that the model does not have. Where `transformers` only warns (a minimum length
    /// beyond the maximum) this is an error too.
    pub fn validate(&self, model: &Gpt2Config) -> Result<()> {
        self.check_ranges()?;
        self.check_ids(model.vocab_size)?;
        self.check_sequences()?;
        self.check_lengths()?;
        self.check_forced()?;
        match self.sliding_window {
            Some(window) if window == 0 || window > model.n_positions => {
                let expected = format!("1 to n_positions = {}", model.n_positions);
                Err(Error::option("sliding_window", window, expected))
            }
            _ => Ok(()),
        }
    }

    /// Checks how many sequences come out of how many beams.
    fn check_sequences(&self) -> Result<()> {
        let (sequences, beams) = (self.num_return_sequences, self.num_beams);
        if beams > 1 && sequences > beams {
            let expected = format!("at most num_beams = {beams}");
            return Err(Error::option("num_return_sequences", sequences, expected));
        }
        if beams == 1 && sequences > 1 && !self.do_sample {
            let expected = "1 without do_sample or num_beams: all would be the same";
            return Err(Error::option("num_return_sequences", sequences, expected));
        }
        match self.prompt_lookup_num_tokens {
            Some(tokens) if beams > 1 => {
                let expected = format!("null with num_beams = {beams}");
                Err(Error::option("prompt_lookup_num_tokens", tokens, expected))
            }
            _ => Ok(()),
        }
    }

    /// Checks that minimum and maximum do not contradict each other.
    fn check_lengths(&self) -> Result<()> {
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
            ("num_beams", Some(self.num_beams)),
            ("num_return_sequences", Some(self.num_return_sequences)),
            ("prompt_lookup_num_tokens", self.prompt_lookup_num_tokens),
            ("max_matching_ngram_size", Some(self.max_matching_ngram_size)),
            ("num_assistant_tokens", Some(self.num_assistant_tokens)),
            ("sliding_window", self.sliding_window),
        ] {
            if value == Some(0) {
                return Err(Error::option(option, 0, "at least 1"));
            }
        }
        for (option, value) in
            [("num_beams", self.num_beams), ("num_return_sequences", self.num_return_sequences)]
        {
            if value > MOST_SEQUENCES {
                let expected = format!("1 to {MOST_SEQUENCES}");
                return Err(Error::option(option, value, expected));
            }
        }
        if let Some(seconds) = self.max_time
            && !(seconds > 0.0 && seconds.is_finite())
        {
            return Err(Error::option("max_time", seconds, "a positive number of seconds"));
        }
        let threshold = self.assistant_confidence_threshold;
        if !(0.0..=1.0).contains(&threshold) {
            let option = "assistant_confidence_threshold";
            return Err(Error::option(option, threshold, "a number from 0 to 1"));
        }
        if !self.length_penalty.is_finite() {
            return Err(Error::option("length_penalty", self.length_penalty, "a finite number"));
        }
        if self.stop_strings.iter().any(String::is_empty) {
            let expected = "at least one character: it is in every text";
            return Err(Error::option("stop_strings", "\"\"", expected));
        }
        // Files of greedy models say `"temperature": 0`, to no effect; a negative one is a mistake.
        if self.do_sample || self.temperature != 0.0 {
            Temperature::new(self.temperature)?;
        }
        self.check_processors()
    }

    /// Checks that there is a processor for each value, neutral ones apart.
    fn check_processors(&self) -> Result<()> {
        TopP::new(self.top_p)?;
        RepetitionPenalty::new(self.repetition_penalty)?;
        self.min_p.map(MinP::new).transpose()?;
        if self.typical_p != 1.0 {
            TypicalP::new(self.typical_p)?;
        }
        if self.epsilon_cutoff != 0.0 {
            EpsilonCutoff::new(self.epsilon_cutoff)?;
        }
        if self.eta_cutoff != 0.0 {
            EtaCutoff::new(self.eta_cutoff)?;
        }
        if !self.sequence_bias.is_empty() {
            SequenceBias::new(&self.sequence_bias)?;
        }
        if !self.bad_words_ids.is_empty() {
            NoBadWords::new(&self.bad_words_ids, &self.eos_token_id)?;
        }
        Ok(())
    }

    /// Checks what is favoured or forced: that there is such a token, and that it is possible.
    fn check_forced(&self) -> Result<()> {
        if let Some(penalty) = self.exponential_decay_length_penalty {
            ExponentialDecayLengthPenalty::new(penalty, 0, self.eos_token_id.clone())?;
        }
        let bos: Vec<u32> = self.forced_bos_token_id.into_iter().collect();
        let forced =
            [("forced_bos_token_id", &bos), ("forced_eos_token_id", &self.forced_eos_token_id)];
        for (option, ids) in forced {
            if !ids.is_empty() && ids.iter().all(|id| self.suppress_tokens.contains(id)) {
                let expected = "a token that suppress_tokens does not rule out";
                return Err(Error::option(option, format!("{ids:?}"), expected));
            }
        }
        Ok(())
    }

    /// Checks that the model has the tokens that options name.
    pub(super) fn check_ids(&self, vocab_size: usize) -> Result<()> {
        let biased = self.sequence_bias.iter().flat_map(|(run, _)| run);
        let lists: [(&str, Vec<u32>); 9] = [
            ("bos_token_id", self.bos_token_id.into_iter().collect()),
            ("pad_token_id", self.pad_token_id.into_iter().collect()),
            ("eos_token_id", self.eos_token_id.clone()),
            ("bad_words_ids", self.bad_words_ids.concat()),
            ("sequence_bias", biased.copied().collect()),
            ("suppress_tokens", self.suppress_tokens.clone()),
            ("begin_suppress_tokens", self.begin_suppress_tokens.clone()),
            ("forced_bos_token_id", self.forced_bos_token_id.into_iter().collect()),
            ("forced_eos_token_id", self.forced_eos_token_id.clone()),
        ];
        for (option, ids) in lists {
            if let Some(id) = ids.into_iter().find(|&id| id as usize >= vocab_size) {
                let expected = format!("less than vocab_size = {vocab_size}");
                return Err(Error::option(option, id, expected));
            }
        }
        Ok(())
    }
}
