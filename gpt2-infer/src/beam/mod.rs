//! Beam search and beam sampling.
//!
//! Equals `_beam_search` of `transformers` 5.23 for a prompt alone, in single precision as there:
//! every step weighs the continuations of all beams of a prompt against each other, and beams
//! that have ended are kept apart from those that go on.
//! Where options leave fewer continuations than there are beams there are fewer beams for a while,
//! where `transformers` fills them up with copies.

mod state;

use gpt2_core::Error as CoreError;

use self::state::Beams;
use crate::plan::Plan;
use crate::reader::{Reader, Text};
use crate::row::{Row, Sequence};
use crate::stop::Limits;
use crate::window::longest_reading;
use crate::{Error, GenerationConfig, Generator, Result};

/// Continues each prompt by the likeliest texts that `num_beams` beams find.
///
/// # Errors
/// As [`Generator::generate`].
pub(crate) fn search(
    generator: &Generator,
    prompts: &[Vec<u32>],
    config: &GenerationConfig,
) -> Result<Vec<Vec<Sequence>>> {
    let plan = Plan::new(generator, prompts, config, 1)?;
    let limits = Limits::new(config, &generator.cancellation);
    let mut sequences = Vec::with_capacity(plan.len());
    for (number, group) in plan.groups().enumerate() {
        let rows = plan.rows(group);
        // What was not begun when the others had to end is not begun any more; of the first, one token
        // is made however short the time.
        let over = limits.reached().filter(|_| number > 0 || limits.is_cancelled());
        if let Some(reason) = over {
            let unbegun = rows.into_iter().map(|row| Row { finish_reason: Some(reason), ..row });
            sequences.extend(unbegun.map(|row| vec![row.finish()]));
        } else {
            sequences.extend(search_group(generator, rows, config, &limits)?);
        }
    }
    Ok(sequences)
}

/// As [`search`], for prompts whose beams fit the memory together.
fn search_group(
    generator: &Generator,
    rows: Vec<Row>,
    config: &GenerationConfig,
    limits: &Limits,
) -> Result<Vec<Vec<Sequence>>> {
    let longest = longest_reading(&rows, generator.model.config().n_positions);
    let count = rows.len() * config.num_beams;
    let pool = &generator.pool;
    let mut reader = Reader::new(&generator.model, pool, config.use_cache, count, longest)
        .map_err(|error| no_memory(error, config))?;
    let mut searches: Vec<Beams> = rows.into_iter().map(Beams::new).collect();
    while searches.iter().any(Beams::is_live) {
        step(&mut searches, &mut reader, config, limits)?;
    }
    Ok(searches.into_iter().map(|beams| beams.finish(config.num_return_sequences)).collect())
}

/// Names the option where there is no memory for so many rows.
fn no_memory(error: Error, config: &GenerationConfig) -> Error {
    match error {
        Error::Core(CoreError::Argument { argument: "max_rows", expected, .. }) => {
            Error::option("num_beams", config.num_beams, expected)
        }
        other => other,
    }
}

/// Reads the beams of all prompts in one batch and lets each prompt choose its next ones.
fn step(
    searches: &mut [Beams],
    reader: &mut Reader,
    config: &GenerationConfig,
    limits: &Limits,
) -> Result<()> {
    let mut live: Vec<&mut Beams> = searches.iter_mut().filter(|beams| beams.is_live()).collect();
    let mut place = 0;
    for beams in &mut live {
        if beams.slide(config, reader.n_positions()) {
            (place..place + beams.width()).for_each(|place| reader.keep(place, 0));
        }
        place += beams.width();
    }
    let texts = live.iter().flat_map(|beams| beams.visible());
    let texts: Vec<Text<'_>> = texts.map(|visible| Text { visible, guessed: &[] }).collect();
    let mut scores = reader.scores(&texts)?;
    let (mut first, mut places) = (0, Vec::new());
    let mut rest = scores.as_mut_slice();
    for beams in live {
        let width = beams.width();
        let (own, others) = rest.split_at_mut(width * reader.vocab_size());
        rest = others;
        // The beams that go on, as places of those that they continue.
        places.extend(beams.advance(own, config, limits)?.into_iter().map(|beam| first + beam));
        first += width;
    }
    match places.is_empty() {
        true => Ok(()),
        false => reader.rearrange(&places),
    }
}
