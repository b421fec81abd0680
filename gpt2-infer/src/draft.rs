//! Guesses of the next tokens, which the model checks several at a time.
//!
//! A guess never decides what is chosen, only how many tokens are chosen in one step: see
//! [`Generator::with_draft_model`].

use crate::probability::log_probability;
use crate::reader::{Reader, Text};
use crate::row::Row;
use crate::{Error, GenerationConfig, Generator, Result};

/// Where guesses come from.
#[derive(Debug)]
pub(crate) enum Drafter {
    /// Nowhere.
    None,
    /// The text itself: what followed the last tokens where they occurred before.
    Lookup { tokens: usize, longest_run: usize },
    /// A smaller model.
    Model(Box<DraftModel>),
}

/// A smaller model, its cache and how far it goes.
#[derive(Debug)]
pub(crate) struct DraftModel {
    reader: Reader,
    config: GenerationConfig,
}

impl Drafter {
    /// What the generator and the options ask for.
    ///
    /// # Errors
    /// [`Error::Option`] when both ask for guesses; as [`Reader::new`].
    pub fn new(
        generator: &Generator,
        config: &GenerationConfig,
        rows: usize,
        longest: usize,
    ) -> Result<Self> {
        if let Some(model) = &generator.draft_model {
            if let Some(tokens) = config.prompt_lookup_num_tokens {
                let expected = "null with a draft model, which guesses as well";
                return Err(Error::option("prompt_lookup_num_tokens", tokens, expected));
            }
            let longest = longest.min(model.config().n_positions);
            let pool = &generator.draft_pool;
            let reader = Reader::new(model, pool, config.use_cache, rows, longest)?;
            return Ok(Self::Model(Box::new(DraftModel { reader, config: config.clone() })));
        }
        Ok(match config.prompt_lookup_num_tokens {
            Some(tokens) => Self::Lookup { tokens, longest_run: config.max_matching_ngram_size },
            None => Self::None,
        })
    }

    /// Reads prompts once for all rows that continue them, which `places` tells.
    ///
    /// # Errors
    /// When the draft model fails.
    pub fn read_prompts(&mut self, prompts: &[Text<'_>], places: &[usize]) -> Result<()> {
        match self {
            Self::Model(draft) if prompts.iter().all(|prompt| draft.sees(prompt.visible)) => {
                draft.reader.scores(prompts)?;
                draft.reader.rearrange(places)
            }
            _ => Ok(()),
        }
    }

    /// Tokens that may follow each of the rows; never so many that they would not fit.
    ///
    /// # Errors
    /// When the draft model fails.
    pub fn guess(&mut self, rows: &mut [&mut Row], n_positions: usize) -> Result<Vec<Vec<u32>>> {
        // One token is chosen anyway, so a guess of the last one would be of no use.
        let room = |row: &Row| {
            let context = n_positions.saturating_sub(row.visible().len());
            row.room().saturating_sub(1).min(context)
        };
        match self {
            Self::None => Ok(vec![Vec::new(); rows.len()]),
            Self::Lookup { tokens, longest_run } => Ok(rows
                .iter()
                .map(|row| look_up(row.visible(), *longest_run, room(row).min(*tokens)))
                .collect()),
            Self::Model(draft) => draft.guess(rows, room),
        }
    }

    /// As [`Reader::keep`].
    pub fn keep(&mut self, place: usize, length: usize) {
        if let Self::Model(draft) = self {
            draft.reader.keep(place, length);
        }
    }

    /// As [`Reader::rearrange`].
    ///
    /// # Errors
    /// As [`Reader::rearrange`].
    pub fn rearrange(&mut self, places: &[usize]) -> Result<()> {
        match self {
            Self::Model(draft) => draft.reader.rearrange(places),
            _ => Ok(()),
        }
    }
}

impl DraftModel {
    /// Whether all that the model sees fits the draft's context.
    fn sees(&self, visible: &[u32]) -> bool {
        visible.len() <= self.reader.n_positions()
    }

    /// Goes on with every row until it is unsure or has guessed enough.
    ///
    /// It draws with a copy of the row's own generator, the numbers that the model will choose with:
    /// where both distributions agree, so do guess and choice.
    fn guess(
        &mut self,
        rows: &mut [&mut Row],
        room: impl Fn(&Row) -> usize,
    ) -> Result<Vec<Vec<u32>>> {
        let n_positions = self.reader.n_positions();
        let begun: Vec<usize> = rows.iter().map(|row| row.ids.len()).collect();
        if !rows.iter().all(|row| self.sees(row.visible())) {
            return Ok(vec![Vec::new(); rows.len()]);
        }
        let most = rows.iter().map(|row| {
            let own = n_positions - row.visible().len();
            row.ids.len() + room(row).min(own).min(self.config.num_assistant_tokens)
        });
        let most: Vec<usize> = most.collect();
        let grown = self.grow(rows, most);
        // Guesses are no part of a text, not even of one that ends here with an error.
        let taken = |(row, &begun): (&mut &mut Row, &usize)| row.ids.split_off(begun);
        let guesses: Vec<Vec<u32>> = rows.iter_mut().zip(&begun).map(taken).collect();
        grown.map(|()| guesses)
    }

    /// Adds guesses to every row, until it has `most` tokens or the draft is unsure.
    fn grow(&mut self, rows: &mut [&mut Row], mut most: Vec<usize>) -> Result<()> {
        let mut samplers: Vec<_> = rows.iter().map(|row| row.sampler.clone()).collect();
        while rows.iter().zip(&most).any(|(row, &most)| row.ids.len() < most) {
            let texts = rows.iter().map(|row| Text { visible: row.visible(), guessed: &[] });
            let mut scores = self.reader.scores(&texts.collect::<Vec<_>>())?;
            let each = scores.chunks_exact_mut(self.reader.vocab_size());
            for (place, scores) in each.enumerate() {
                let row = &mut *rows[place];
                if row.ids.len() < most[place] {
                    row.processors.process(&row.ids, scores);
                    match samplers[place].choose(scores) {
                        Some(id) => {
                            let sure = log_probability(scores, id).exp();
                            row.ids.push(id);
                            if sure < self.config.assistant_confidence_threshold {
                                most[place] = row.ids.len();
                            }
                            continue;
                        }
                        None => most[place] = row.ids.len(),
                    }
                }
                // It waits for the others: its last token is read again, to no effect.
                self.reader.keep(place, row.visible().len() - 1);
            }
        }
        Ok(())
    }
}

/// Up to `tokens` tokens that followed the last ones, where as long a run of them as possible
/// occurred before; where it did several times, what followed last.
fn look_up(ids: &[u32], longest_run: usize, tokens: usize) -> Vec<u32> {
    for size in (1..=longest_run.min(ids.len().saturating_sub(1))).rev() {
        let run = &ids[ids.len() - size..];
        // Not the run itself, which nothing follows.
        let before = &ids[..ids.len() - 1];
        if let Some(at) = before.windows(size).rposition(|window| window == run) {
            let following = &ids[at + size..];
            return following[..following.len().min(tokens)].to_vec();
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::look_up;

    #[test]
    fn what_followed_the_longest_run_last_is_guessed() {
        assert_eq!(look_up(&[1, 2, 3, 9, 2, 3, 8, 4, 2, 3], 2, 2), [8, 4]);
        // The run of two never occurred, the run of one did.
        assert_eq!(look_up(&[5, 1, 2, 6, 1], 2, 9), [2, 6, 1]);
        assert_eq!(look_up(&[7, 7], 2, 4), [7]);
    }

    #[test]
    fn nothing_is_guessed_where_nothing_repeats_or_nothing_is_wanted() {
        assert_eq!(look_up(&[1, 2, 3], 2, 5), [0; 0]);
        assert_eq!(look_up(&[1], 2, 5), [0; 0]);
        assert_eq!(look_up(&[1, 2, 1], 2, 0), [0; 0]);
    }
}
