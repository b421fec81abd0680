//! A generation that goes token by token: greedy and sampled, with and without guesses.

use std::ops::ControlFlow;

use crate::draft::Drafter;
use crate::reader::{Reader, Text};
use crate::row::{FinishReason, Row, Sequence, Token};
use crate::stop::Limits;
use crate::window::{readable, slide};
use crate::{Error, GenerationConfig, Generator, Result, plan};

/// Rows that grow side by side.
#[derive(Debug)]
pub(crate) struct Session {
    config: GenerationConfig,
    limits: Limits,
    rows: Vec<Row>,
    /// Rows that are not finished, in the order of their places in the readers.
    live: Vec<usize>,
    reader: Reader,
    drafter: Drafter,
    /// Whether the prompts were read.
    begun: bool,
}

impl Session {
    /// Checks everything and computes nothing yet.
    ///
    /// # Errors
    /// As [`Generator::generate_with`].
    pub fn start(
        generator: &Generator,
        prompts: &[Vec<u32>],
        config: &GenerationConfig,
    ) -> Result<Self> {
        if config.num_beams > 1 {
            let expected = "1 where tokens are wanted as they are made";
            return Err(Error::option("num_beams", config.num_beams, expected));
        }
        let rows = plan::rows(generator, prompts, config, config.num_return_sequences)?;
        let n_positions = generator.model.config().n_positions;
        let longest = rows.iter().map(|row| readable(row.lengths.end, n_positions)).max();
        // Without a prompt nothing is read, but there is no cache for nothing.
        let (count, longest) = (rows.len().max(1), longest.unwrap_or(1));
        let reader =
            Reader::new(&generator.model, &generator.pool, config.use_cache, count, longest)?;
        Ok(Self {
            limits: Limits::new(config, &generator.cancellation),
            live: (0..rows.len()).collect(),
            drafter: Drafter::new(generator, config, count, longest)?,
            reader,
            rows,
            config: config.clone(),
            begun: false,
        })
    }

    /// Adds a token to every row that is not finished, or several where guesses were right.
    ///
    /// [`ControlFlow::Break`] when all are finished or `on_token` wants no more.
    ///
    /// # Errors
    /// As [`Generator::generate`].
    pub fn step(
        &mut self,
        on_token: &mut dyn FnMut(Token) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        if self.live.is_empty() || self.limits.is_cancelled() {
            return Ok(ControlFlow::Break(()));
        }
        let (guesses, mut scores) = match self.begun {
            true => self.read()?,
            false => (vec![Vec::new(); self.live.len()], self.read_prompts()?),
        };
        self.begun = true;
        let mut scores = scores.chunks_exact_mut(self.reader.vocab_size());
        for (&row, guessed) in self.live.iter().zip(&guesses) {
            let row = &mut self.rows[row];
            // Every row takes its own part of the scores, used or not.
            let own = scores.by_ref().take(1 + guessed.len()).collect();
            if grow(row, guessed, own, &self.config.eos_token_id, on_token)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        self.settle()
    }

    /// Reads every prompt once, for all rows that continue it; scores of every row.
    fn read_prompts(&mut self) -> Result<Vec<f32>> {
        let first: Vec<&Row> = self.rows.iter().filter(|row| row.sequence == 0).collect();
        let texts = first.iter().map(|row| Text { visible: row.visible(), guessed: &[] });
        let scores = self.reader.scores(&texts.collect::<Vec<_>>())?;
        if first.len() == self.rows.len() {
            return Ok(scores);
        }
        let prompts: Vec<usize> = self.rows.iter().map(|row| row.prompt).collect();
        self.reader.rearrange(&prompts)?;
        let vocab = self.reader.vocab_size();
        let of_prompt = |&prompt: &usize| &scores[prompt * vocab..][..vocab];
        Ok(prompts.iter().flat_map(of_prompt).copied().collect())
    }

    /// Reads the last token of every live row, and guesses of what follows.
    fn read(&mut self) -> Result<(Vec<Vec<u32>>, Vec<f32>)> {
        let mut live: Vec<&mut Row> = self.rows.iter_mut().filter(|row| row.is_live()).collect();
        let n_positions = self.reader.n_positions();
        for (place, row) in live.iter_mut().enumerate() {
            if slide(row, &self.config, n_positions) {
                self.reader.keep(place, 0);
                self.drafter.keep(place, 0);
            }
        }
        let guesses = self.drafter.guess(&mut live, n_positions)?;
        let texts = live.iter().zip(&guesses);
        let texts = texts.map(|(row, guessed)| Text { visible: row.visible(), guessed });
        let scores = self.reader.scores(&texts.collect::<Vec<_>>())?;
        Ok((guesses, scores))
    }

    /// Forgets guesses that were wrong and rows that are finished.
    fn settle(&mut self) -> Result<ControlFlow<()>> {
        let reached = self.limits.reached();
        let mut places = Vec::with_capacity(self.live.len());
        for (place, &row) in self.live.iter().enumerate() {
            let row = &mut self.rows[row];
            row.finish_reason = row.finish_reason.or(reached);
            // The newest token was chosen and not read.
            let read = row.visible().len() - 1;
            self.reader.keep(place, read);
            self.drafter.keep(place, read);
            if row.is_live() {
                places.push(place);
            }
        }
        if places.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        if places.len() < self.live.len() {
            self.live = places.iter().map(|&place| self.live[place]).collect();
            self.reader.rearrange(&places)?;
            self.drafter.rearrange(&places)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The first row's prompt, as it is read.
    pub fn prompt(&self) -> &[u32] {
        self.rows.first().map_or(&[], |row| &row.ids[..row.lengths.prompt])
    }

    /// Why the first row ended; cancelled unless it has.
    pub fn finish_reason(&self) -> FinishReason {
        self.rows.first().and_then(|row| row.finish_reason).unwrap_or(FinishReason::Cancelled)
    }

    /// The first sequence; cancelled unless it has ended. There has to be one.
    pub fn finish_first(mut self) -> Sequence {
        self.rows.swap_remove(0).finish()
    }

    /// All sequences by prompt; those that are not finished were cancelled.
    pub fn finish(self, prompts: usize) -> Vec<Vec<Sequence>> {
        let mut sequences: Vec<Vec<Sequence>> = (0..prompts).map(|_| Vec::new()).collect();
        for row in self.rows {
            let prompt = row.prompt;
            sequences[prompt].push(row.finish());
        }
        sequences
    }
}

/// Chooses tokens by the scores of one position after the other, as long as they were guessed right
/// and nothing ends the row.
fn grow(
    row: &mut Row,
    guessed: &[u32],
    scores: Vec<&mut [f32]>,
    eos_token_id: &[u32],
    on_token: &mut dyn FnMut(Token) -> ControlFlow<()>,
) -> Result<ControlFlow<()>> {
    let guesses = guessed.iter().map(Some).chain([None]);
    for (scores, guess) in scores.into_iter().zip(guesses) {
        let token = row.step(scores, eos_token_id)?;
        if on_token(token).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if token.finish_reason.is_some() || guess != Some(&token.id) {
            break;
        }
    }
    Ok(ControlFlow::Continue(()))
}
