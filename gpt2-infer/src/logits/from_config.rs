//! The list of processors that options ask for.

use gpt2_core::ops::SampleOptions;

use super::{
    BeginSuppressTokens, EpsilonCutoff, EtaCutoff, ExponentialDecayLengthPenalty, ForcedBosToken,
    ForcedEosToken, LogitsProcessors, MinLength, MinNewTokens, MinP, NoBadWords, NoRepeatNGram,
    PrefixAllowedTokens, RemoveInvalidValues, RenormalizeLogits, RepetitionPenalty, SequenceBias,
    SuppressTokens, Temperature, TopK, TopP, TypicalP,
};
use crate::{GenerationConfig, Result};

impl LogitsProcessors {
    /// The processors that the options ask for, for a sequence whose prompt has `prompt_length`
    /// tokens and which ends with token number `max_length`, prompt included.
    ///
    /// Equals the list and order of `transformers`' `generate`: those that shape the draw
    /// (temperature, top-k and the like) come last, and only with `do_sample`; with `num_beams`
    /// above 1 they leave one token more than there are end-of-text tokens, so that a beam can
    /// go on. Options at their neutral value need no processor.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) naming an option that is out of range.
    pub fn from_config(
        config: &GenerationConfig,
        prompt_length: usize,
        max_length: usize,
    ) -> Result<Self> {
        Self::from_config_with(config, prompt_length, max_length, None, Self::new())
    }

    /// As [`from_config`](Self::from_config), with a constraint and processors of the caller at
    /// the places where `transformers` has them: the constraint before what forces tokens, the
    /// others before what shapes the draw.
    ///
    /// # Errors
    /// As [`from_config`](Self::from_config).
    pub fn from_config_with(
        config: &GenerationConfig,
        prompt_length: usize,
        max_length: usize,
        prefix_allowed_tokens: Option<PrefixAllowedTokens>,
        others: Self,
    ) -> Result<Self> {
        let mut list = Self::new();
        list.push_of_history(config)?;
        list.push_least_lengths(config, prompt_length);
        if let Some(constraint) = prefix_allowed_tokens {
            list.push(constraint);
        }
        list.push_of_length(config, prompt_length, max_length)?;
        list.append(others);
        if config.do_sample {
            list.push_warpers(config)?;
        }
        if config.renormalize_logits {
            list.push(RenormalizeLogits::new());
        }
        Ok(list)
    }

    /// Those that look at the tokens so far.
    fn push_of_history(&mut self, config: &GenerationConfig) -> Result<()> {
        if !config.sequence_bias.is_empty() {
            self.push(SequenceBias::new(&config.sequence_bias)?);
        }
        if config.repetition_penalty != 1.0 {
            self.push(RepetitionPenalty::new(config.repetition_penalty)?);
        }
        if config.no_repeat_ngram_size > 0 {
            self.push(NoRepeatNGram::new(config.no_repeat_ngram_size)?);
        }
        if !config.bad_words_ids.is_empty() {
            self.push(NoBadWords::new(&config.bad_words_ids, &config.eos_token_id)?);
        }
        Ok(())
    }

    /// Those that keep a text from ending; `min_new_tokens` overrides `min_length`.
    fn push_least_lengths(&mut self, config: &GenerationConfig, prompt_length: usize) {
        let ends = &config.eos_token_id;
        match config.min_new_tokens {
            _ if ends.is_empty() => {}
            Some(0) => {}
            Some(least) => self.push(MinNewTokens::new(least, prompt_length, ends.clone())),
            None if config.min_length > 0 => {
                self.push(MinLength::new(config.min_length, ends.clone()));
            }
            None => {}
        }
    }

    /// Those that look at the number of tokens so far, and what goes with them.
    fn push_of_length(
        &mut self,
        config: &GenerationConfig,
        prompt_length: usize,
        max_length: usize,
    ) -> Result<()> {
        if let Some(id) = config.forced_bos_token_id {
            self.push(ForcedBosToken::new(id));
        }
        if !config.forced_eos_token_id.is_empty() {
            self.push(ForcedEosToken::new(max_length, config.forced_eos_token_id.clone())?);
        }
        if config.remove_invalid_values {
            self.push(RemoveInvalidValues::new());
        }
        if let Some(penalty) = config.exponential_decay_length_penalty {
            let ends = config.eos_token_id.clone();
            self.push(ExponentialDecayLengthPenalty::new(penalty, prompt_length, ends)?);
        }
        if !config.suppress_tokens.is_empty() {
            self.push(SuppressTokens::new(config.suppress_tokens.clone()));
        }
        if !config.begin_suppress_tokens.is_empty() {
            // A forced token comes first where the prompt is a begin-of-text token alone.
            let forced = prompt_length <= 1 && config.forced_bos_token_id.is_some();
            let begin = prompt_length + usize::from(forced);
            self.push(BeginSuppressTokens::new(config.begin_suppress_tokens.clone(), begin));
        }
        Ok(())
    }

    /// Those that shape the distribution which a token is drawn from.
    fn push_warpers(&mut self, config: &GenerationConfig) -> Result<()> {
        let least = match config.num_beams > 1 {
            true => config.eos_token_id.len().max(1) + 1,
            false => 1,
        };
        if config.temperature != 1.0 {
            let temperature = config.temperature as f32;
            let processor = Temperature::new(config.temperature)?;
            self.push_known(processor, |options| SampleOptions { temperature, ..options });
        }
        if config.top_k > 0 {
            let processor = TopK::new(config.top_k)?.with_min_tokens_to_keep(least)?;
            let top_k = Some(config.top_k.max(least));
            self.push_known(processor, |options| SampleOptions { top_k, ..options });
        }
        if config.top_p != 1.0 {
            let processor = TopP::new(config.top_p)?.with_min_tokens_to_keep(least)?;
            let top_p = Some(config.top_p);
            match least {
                1 => self.push_known(processor, |options| SampleOptions { top_p, ..options }),
                _ => self.push(processor),
            }
        }
        if let Some(min_p) = config.min_p {
            self.push(MinP::new(min_p)?.with_min_tokens_to_keep(least)?);
        }
        if config.typical_p != 1.0 {
            self.push(TypicalP::new(config.typical_p)?.with_min_tokens_to_keep(least)?);
        }
        if config.epsilon_cutoff != 0.0 {
            self.push(EpsilonCutoff::new(config.epsilon_cutoff)?.with_min_tokens_to_keep(least)?);
        }
        if config.eta_cutoff != 0.0 {
            self.push(EtaCutoff::new(config.eta_cutoff)?.with_min_tokens_to_keep(least)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::EXCLUDED;

    /// Every option that asks for a processor.
    fn everything() -> GenerationConfig {
        GenerationConfig {
            sequence_bias: vec![(vec![1], 1.0)],
            repetition_penalty: 1.1,
            no_repeat_ngram_size: 3,
            bad_words_ids: vec![vec![2]],
            min_new_tokens: Some(6),
            forced_bos_token_id: Some(1),
            forced_eos_token_id: vec![0],
            remove_invalid_values: true,
            exponential_decay_length_penalty: Some((2, 1.1)),
            suppress_tokens: vec![3],
            begin_suppress_tokens: vec![4],
            do_sample: true,
            temperature: 0.8,
            top_k: 60,
            top_p: 0.9,
            min_p: Some(0.1),
            typical_p: 0.9,
            epsilon_cutoff: 0.01,
            eta_cutoff: 0.01,
            renormalize_logits: true,
            eos_token_id: vec![0],
            ..GenerationConfig::default()
        }
    }

    fn names(list: &LogitsProcessors) -> Vec<String> {
        let shown = list.list.iter().map(|processor| format!("{processor:?}"));
        let end = |c: char| !c.is_alphanumeric();
        shown.map(|shown| shown.split(end).next().unwrap_or_default().to_string()).collect()
    }

    #[test]
    fn processors_come_in_the_order_of_transformers() {
        let mut own = LogitsProcessors::new();
        own.push(MinLength::new(1, vec![]));
        let constraint = PrefixAllowedTokens::new(|_| vec![]);
        let list =
            LogitsProcessors::from_config_with(&everything(), 4, 9, Some(constraint), own).unwrap();
        let order = "SequenceBias RepetitionPenalty NoRepeatNGram NoBadWords MinNewTokens \
             PrefixAllowedTokens ForcedBosToken ForcedEosToken RemoveInvalidValues \
             ExponentialDecayLengthPenalty SuppressTokens BeginSuppressTokens MinLength \
             Temperature TopK TopP MinP TypicalP EpsilonCutoff EtaCutoff RenormalizeLogits";
        assert_eq!(names(&list).join(" "), order);
    }

    #[test]
    fn what_shapes_the_draw_is_left_out_without_a_draw() {
        let config = GenerationConfig { do_sample: false, ..everything() };
        let list = LogitsProcessors::from_config(&config, 4, 9).unwrap();
        let last = ["SuppressTokens", "BeginSuppressTokens", "RenormalizeLogits"];
        assert_eq!(names(&list)[list.len() - 3..], last);
    }

    #[test]
    fn neutral_options_need_no_processor() {
        let config = GenerationConfig {
            do_sample: true,
            top_k: 0,
            min_length: 9,
            ..GenerationConfig::default()
        };
        // A minimum length without an end-of-text token has nothing to rule out.
        assert!(LogitsProcessors::from_config(&config, 1, 9).unwrap().is_empty());
    }

    #[test]
    fn the_minimum_of_new_tokens_overrides_the_minimum_length() {
        let config = GenerationConfig {
            min_length: 100,
            min_new_tokens: Some(1),
            eos_token_id: vec![1],
            ..GenerationConfig::default()
        };
        let mut list = LogitsProcessors::from_config(&config, 2, 200).unwrap();
        let mut scores = [0.0; 2];
        list.process(&[0; 3], &mut scores);
        assert_eq!(scores, [0.0; 2]);
    }

    #[test]
    fn beams_keep_a_token_that_does_not_end_them() {
        let kept = |num_beams, eos_token_id| {
            let config = GenerationConfig {
                do_sample: true,
                top_k: 1,
                top_p: 0.1,
                min_p: Some(1.0),
                typical_p: 0.01,
                epsilon_cutoff: 0.99,
                eta_cutoff: 0.99,
                num_beams,
                eos_token_id,
                ..GenerationConfig::default()
            };
            let mut list = LogitsProcessors::from_config(&config, 1, 9).unwrap();
            let mut scores = [4.0, 3.0, 2.0, 1.0, 0.0];
            list.process(&[0], &mut scores);
            scores.iter().filter(|&&score| score != EXCLUDED).count()
        };
        assert_eq!([kept(1, vec![0]), kept(2, vec![]), kept(2, vec![0])], [1, 2, 2]);
        assert_eq!(kept(3, vec![0, 1, 2]), 4);
    }

    #[test]
    fn the_first_token_is_the_one_behind_a_forced_one() {
        let begins = |prompt: usize, forced_bos_token_id| {
            let config = GenerationConfig {
                begin_suppress_tokens: vec![1],
                forced_bos_token_id,
                ..GenerationConfig::default()
            };
            let mut list = LogitsProcessors::from_config(&config, prompt, 9).unwrap();
            let suppressed = |length: &usize| {
                let mut scores = [0.0; 2];
                list.process(&vec![0; *length], &mut scores);
                scores == [0.0, EXCLUDED]
            };
            (1..5).filter(suppressed).collect::<Vec<_>>()
        };
        assert_eq!(begins(1, None), [1]);
        assert_eq!(begins(1, Some(0)), [1, 2]);
        assert_eq!(begins(3, Some(0)), [1, 3]);
    }

    #[test]
    fn options_out_of_range_are_named() {
        let ends = vec![0];
        for (option, config) in [
            ("min_p", GenerationConfig { min_p: Some(2.0), ..everything() }),
            ("typical_p", GenerationConfig { typical_p: 0.0, ..everything() }),
            ("epsilon_cutoff", GenerationConfig { epsilon_cutoff: 1.0, ..everything() }),
            ("eta_cutoff", GenerationConfig { eta_cutoff: -1.0, ..everything() }),
            (
                "exponential_decay_length_penalty",
                GenerationConfig { eos_token_id: vec![], ..everything() },
            ),
            (
                "bad_words_ids",
                GenerationConfig {
                    bad_words_ids: vec![vec![]],
                    eos_token_id: ends.clone(),
                    ..everything()
                },
            ),
        ] {
            let error = LogitsProcessors::from_config(&config, 1, 9).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{option}` is")), "{error}");
        }
    }
}
