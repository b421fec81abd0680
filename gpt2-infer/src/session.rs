//! A generation that goes token by token: greedy and sampled, with and without guesses.

use std::ops::ControlFlow;

use crate::ahead::{Ahead, Choice};
use crate::draft::Drafter;
use crate::plan::Plan;
use crate::reader::{Reader, Text, prompts_of};
use crate::row::{FinishReason, Row, Sequence, Token, nothing};
use crate::stop::Limits;
use crate::window::{longest_reading, slide};
use crate::{Error, GenerationConfig, Generator, Result};

/// Generates all sequences of all prompts, group by group.
///
/// # Errors
/// As [`Generator::generate_with`].
pub(crate) fn run(
    generator: &Generator,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
    on_token: &mut dyn FnMut(Token) -> ControlFlow<()>,
) -> Result<Vec<Vec<Sequence>>> {
    check_tokens(config)?;
    let plan = Plan::new(generator, prompts, config, config.num_return_sequences)?;
    let limits = Limits::new(config, &generator.cancellation);
    let mut sequences: Vec<Vec<Sequence>> = prompts.iter().map(|_| Vec::new()).collect();
    let mut over = None;
    for group in plan.groups() {
        let mut rows = plan.rows(group);
        if over.is_none() {
            let mut session = Session::new(generator, rows, config, limits.clone())?;
            while session.step(on_token)?.is_continue() {}
            over = session.over();
            rows = session.into_rows();
        }
        for mut row in rows {
            // What was not begun when the others had to end is not begun any more.
            row.finish_reason = row.finish_reason.or(over);
            let prompt = row.prompt;
            sequences[prompt].push(row.finish());
        }
    }
    Ok(sequences)
}

/// Refuses options by which tokens are not settled one after the other.
///
/// # Errors
/// [`Error::Option`] with beams.
pub(crate) fn check_tokens(config: &GenerationConfig) -> Result<()> {
    if config.num_beams > 1 {
        let expected = "1 where tokens are wanted as they are made";
        return Err(Error::option("num_beams", config.num_beams, expected));
    }
    Ok(())
}

/// Rows that grow side by side.
#[derive(Debug)]
pub(crate) struct Session {
    config: GenerationConfig,
    limits: Limits,
    rows: Vec<Row>,
    /// Rows that are not finished, in the order of their places in the readers.
    live: Vec<usize>,
    /// Where the device chooses. It is gone before the reader gives its cache back, which the device writes to.
    ahead: Option<Ahead>,
    reader: Reader,
    drafter: Drafter,
    /// Whether the prompts were read.
    begun: bool,
    /// Whether the caller wanted no more tokens.
    left: bool,
}

impl Session {
    /// Makes room for rows, which there has to be at least one of, and computes nothing yet.
    ///
    /// # Errors
    /// When there is no memory for their caches.
    pub fn new(
        generator: &Generator,
        rows: Vec<Row>,
        config: &GenerationConfig,
        limits: Limits,
    ) -> Result<Self> {
        let longest = longest_reading(&rows, generator.model.config().n_positions);
        let count = rows.len();
        let reader =
            Reader::new(&generator.model, &generator.pool, config.use_cache, count, longest)?;
        let drafter = Drafter::new(generator, config, count, longest)?;
        Ok(Self {
            limits,
            live: (0..rows.len()).collect(),
            ahead: Ahead::new(&rows, &reader, &drafter),
            drafter,
            reader,
            rows,
            config: config.clone(),
            begun: false,
            left: false,
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
        let flow = match &mut self.ahead {
            Some(ahead) => {
                let choices = ahead.next(&mut self.rows, &mut self.reader)?;
                self.take(choices, on_token)?
            }
            None => self.choose(on_token)?,
        };
        if flow.is_break() {
            self.left = true;
            return Ok(flow);
        }
        self.settle()
    }

    /// Takes the tokens that the device has chosen.
    fn take(
        &mut self,
        choices: Vec<Choice>,
        on_token: &mut dyn FnMut(Token) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        for (row, id) in choices {
            let row = &mut self.rows[row];
            let id = id.map_err(|reason| nothing(reason, row.ids.len()))?;
            let token = row.accept(id, None, &self.config.eos_token_id)?;
            if on_token(token).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Chooses tokens for every row by its scores.
    fn choose(
        &mut self,
        on_token: &mut dyn FnMut(Token) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
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
        Ok(ControlFlow::Continue(()))
    }

    /// Reads every prompt once, for all rows that continue it; scores of every row.
    fn read_prompts(&mut self) -> Result<Vec<f32>> {
        let (texts, places) = prompts_of(&self.rows);
        let scores = self.reader.scores(&texts)?;
        if texts.len() == self.rows.len() {
            return Ok(scores);
        }
        self.reader.rearrange(&places)?;
        self.drafter.read_prompts(&texts, &places)?;
        let vocab = self.reader.vocab_size();
        let of_text = |&text: &usize| &scores[text * vocab..][..vocab];
        Ok(places.iter().flat_map(of_text).copied().collect())
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

    /// Lets rows end with the time, and leaves those that are finished.
    fn settle(&mut self) -> Result<ControlFlow<()>> {
        let reached = self.limits.reached();
        for &row in &self.live {
            let row = &mut self.rows[row];
            row.finish_reason = row.finish_reason.or(reached);
        }
        let is_live = |&place: &usize| self.rows[self.live[place]].is_live();
        let places: Vec<usize> = (0..self.live.len()).filter(is_live).collect();
        if self.ahead.is_none() {
            self.forget(&places)?;
        }
        self.live = places.iter().map(|&place| self.live[place]).collect();
        Ok(match self.live.is_empty() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    /// Forgets guesses that were wrong, and what was read at other places than these.
    fn forget(&mut self, places: &[usize]) -> Result<()> {
        for (place, &row) in self.live.iter().enumerate() {
            // The newest token was chosen and not read.
            let read = self.rows[row].visible().len() - 1;
            self.reader.keep(place, read);
            self.drafter.keep(place, read);
        }
        if !places.is_empty() && places.len() < self.live.len() {
            self.reader.rearrange(places)?;
            self.drafter.rearrange(places)?;
        }
        Ok(())
    }

    /// The first row's prompt, as it is read.
    pub fn prompt(&self) -> &[u32] {
        self.rows.first().map_or(&[], |row| &row.ids[..row.lengths.prompt])
    }

    /// Why the first row ended; cancelled unless it has.
    pub fn finish_reason(&self) -> FinishReason {
        self.rows.first().and_then(|row| row.finish_reason).unwrap_or(FinishReason::Cancelled)
    }

    /// Why nothing should be begun any more: the time is over, or the caller wanted no more.
    fn over(&self) -> Option<FinishReason> {
        self.limits.reached().or_else(|| self.left.then_some(FinishReason::Cancelled))
    }

    /// The rows; those that are not finished were cancelled.
    pub fn into_rows(self) -> Vec<Row> {
        self.rows
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
