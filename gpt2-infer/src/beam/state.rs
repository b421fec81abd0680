//! The beams of one prompt.

use crate::config::EarlyStopping;
use crate::plan::with_room;
use crate::probability::{has_nan, largest, log_softmax};
use crate::row::{FinishReason, Row, Sequence, end_reason, no_token};
use crate::stop::{Limits, StopMatcher};
use crate::window;
use crate::{GenerationConfig, Result};

/// Beams of one prompt: those that go on, and those that have ended.
#[derive(Debug)]
pub(super) struct Beams {
    /// The prompt, its lengths, processors and random draws.
    row: Row,
    /// Beams that go on, the best first; all equally long.
    running: Vec<Beam>,
    /// The best that have ended, at most `num_beams`, the best first.
    finished: Vec<Finished>,
    /// Memory of texts that nobody needs any more.
    spare: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Beam {
    ids: Vec<u32>,
    /// Sum of log-probabilities.
    score: f32,
    stop: Option<StopMatcher>,
}

#[derive(Debug)]
struct Finished {
    ids: Vec<u32>,
    /// Sum of log-probabilities over the length to the power of the penalty.
    score: f32,
    reason: FinishReason,
}

/// A token that may follow a beam.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Which beam it follows.
    beam: usize,
    /// The token.
    id: u32,
    /// Log-probability of the beam with it.
    score: f32,
}

/// A candidate, and whether its text ends with it.
struct Continuation {
    candidate: Candidate,
    stop: Option<StopMatcher>,
    reason: Option<FinishReason>,
}

impl Beams {
    /// A single beam, the prompt: the first step makes it as many as there have to be.
    pub fn new(mut row: Row) -> Self {
        let beam = Beam { ids: std::mem::take(&mut row.ids), score: 0.0, stop: row.stop.take() };
        Self { row, running: vec![beam], finished: Vec::new(), spare: Vec::new() }
    }

    /// Whether the search goes on.
    pub fn is_live(&self) -> bool {
        !self.running.is_empty()
    }

    /// How many beams go on.
    pub fn width(&self) -> usize {
        self.running.len()
    }

    /// What the model sees of each beam.
    pub fn visible(&self) -> impl Iterator<Item = &[u32]> {
        self.running.iter().map(|beam| &beam.ids[self.row.start..])
    }

    /// As [`window::slide`], for all beams at once: they are equally long.
    pub fn slide(&mut self, config: &GenerationConfig, n_positions: usize) -> bool {
        let length = self.running[0].ids.len();
        let start = window::start(self.row.start, length, config, n_positions);
        std::mem::replace(&mut self.row.start, start) != start
    }

    /// Chooses the next beams by the scores `[width, vocab]` of what follows the present ones; for
    /// each the one that it continues. None when the search has ended.
    ///
    /// # Errors
    /// [`Error::NoToken`](crate::Error::NoToken) when no beam can go on and none has ended.
    pub fn advance(
        &mut self,
        scores: &mut [f32],
        config: &GenerationConfig,
        limits: &Limits,
    ) -> Result<Vec<usize>> {
        let candidates = self.candidates(scores, config)?;
        let reached = limits.reached();
        let continuations = candidates
            .into_iter()
            .map(|candidate| self.continued(candidate, config, reached))
            .collect::<Result<Vec<_>>>()?;
        self.collect_finished(&continuations, config);
        let parents = self.collect_running(continuations, config);
        if self.is_over(config) {
            self.running.clear();
            return Ok(Vec::new());
        }
        Ok(parents)
    }

    /// Enough of the best continuations, or of drawn ones, that `num_beams` remain when others end.
    fn candidates(
        &mut self,
        scores: &mut [f32],
        config: &GenerationConfig,
    ) -> Result<Vec<Candidate>> {
        let vocab = scores.len() / self.running.len();
        scores.chunks_exact_mut(vocab).for_each(log_softmax);
        let texts: Vec<&[u32]> = self.running.iter().map(|beam| beam.ids.as_slice()).collect();
        self.row.processors.process_beams(&texts, scores);
        for (beam, scores) in self.running.iter().zip(scores.chunks_exact_mut(vocab)) {
            if largest(scores) == f32::INFINITY || has_nan(scores) {
                return Err(no_token(scores, beam.ids.len()));
            }
            for score in scores {
                *score += beam.score;
            }
        }
        let count = (1 + config.eos_token_id.len()).max(2) * config.num_beams;
        let places = self.row.sampler.draw_without_replacement(scores, count);
        let candidate = |&place: &u32| {
            let place = place as usize;
            Candidate { beam: place / vocab, id: (place % vocab) as u32, score: scores[place] }
        };
        let found: Vec<Candidate> = places.iter().map(candidate).collect();
        match found.is_empty() && self.finished.is_empty() {
            true => Err(no_token(scores, self.running[0].ids.len())),
            false => Ok(found),
        }
    }

    /// A beam with one more token.
    fn continued(
        &self,
        candidate: Candidate,
        config: &GenerationConfig,
        reached: Option<FinishReason>,
    ) -> Result<Continuation> {
        let beam = &self.running[candidate.beam];
        let mut stop = beam.stop.clone();
        let stopped = stop.as_mut().map_or(Ok(false), |stop| stop.push(candidate.id))?;
        let is_eos = config.eos_token_id.contains(&candidate.id);
        let is_full = beam.ids.len() + 1 >= self.row.lengths.end;
        let reason = end_reason(is_eos, stopped, is_full).or(reached);
        Ok(Continuation { candidate, stop, reason })
    }

    /// Keeps those that end, if they are among the first `num_beams` continuations: the others are
    /// there only to go on.
    fn collect_finished(&mut self, continuations: &[Continuation], config: &GenerationConfig) {
        if config.early_stopping == EarlyStopping::True && self.is_full(config) {
            return;
        }
        for Continuation { candidate, reason, .. } in continuations.iter().take(config.num_beams) {
            let Some(reason) = *reason else { continue };
            let ids = self.text(candidate);
            let score = candidate.score / self.penalty(ids.len(), config);
            self.finished.push(Finished { ids, score, reason });
        }
        // Stable: of equally good ones the older stay.
        self.finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        self.finished.truncate(config.num_beams);
    }

    /// Lets the best that do not end go on; the beams that they continue.
    fn collect_running(
        &mut self,
        mut continuations: Vec<Continuation>,
        config: &GenerationConfig,
    ) -> Vec<usize> {
        continuations.retain(|continuation| continuation.reason.is_none());
        // Draws come in the order in which they were drawn.
        continuations.sort_by(|a, b| b.candidate.score.total_cmp(&a.candidate.score));
        continuations.truncate(config.num_beams);
        let parents = continuations.iter().map(|continuation| continuation.candidate.beam);
        let parents: Vec<usize> = parents.collect();
        let mut next = Vec::with_capacity(continuations.len());
        for Continuation { candidate, stop, .. } in continuations {
            next.push(Beam { ids: self.text(&candidate), score: candidate.score, stop });
        }
        let old = std::mem::replace(&mut self.running, next);
        self.spare.extend(old.into_iter().map(|beam| beam.ids));
        parents
    }

    /// The text of a candidate, in memory that another text has left.
    fn text(&mut self, candidate: &Candidate) -> Vec<u32> {
        let before = &self.running[candidate.beam].ids;
        let mut ids = self.spare.pop().unwrap_or_else(|| with_room(&[], self.row.lengths));
        ids.clear();
        ids.extend_from_slice(before);
        ids.push(candidate.id);
        ids
    }

    fn is_full(&self, config: &GenerationConfig) -> bool {
        self.finished.len() == config.num_beams
    }

    /// Whether nothing is left to go on with, or going on cannot pay as far as `early_stopping`
    /// looks.
    fn is_over(&self, config: &GenerationConfig) -> bool {
        let Some(leader) = self.running.first() else { return true };
        let Some(worst) = self.finished.last().filter(|_| self.is_full(config)) else {
            return false;
        };
        let length = match config.early_stopping {
            EarlyStopping::True => return true,
            EarlyStopping::Never if config.length_penalty > 0.0 => self.row.lengths.end,
            _ => leader.ids.len(),
        };
        leader.score / self.penalty(length, config) <= worst.score
    }

    /// What the score of a text of `length` tokens, the prompt's included, is divided by.
    fn penalty(&self, length: usize, config: &GenerationConfig) -> f32 {
        ((length - self.row.lengths.prompt) as f64).powf(config.length_penalty) as f32
    }

    /// The best that have ended.
    pub fn finish(self, count: usize) -> Vec<Sequence> {
        let sequence = |finished: Finished| Sequence {
            ids: finished.ids,
            prompt_length: self.row.lengths.prompt,
            finish_reason: finished.reason,
            score: Some(f64::from(finished.score)),
            log_probs: None,
        };
        self.finished.into_iter().take(count).map(sequence).collect()
    }
}
