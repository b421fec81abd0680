//! Choices that the model's device makes, a step ahead of the host.
//!
//! What a GPU chooses for every row is what the next pass reads: the ids go from the one to the other without the host, which
//! asks for the next pass first and hears of the ids then, while the device has something to do. Which rows end by their
//! length is known before; of one that ends otherwise, a token more is chosen, which nobody sees.

use std::thread::{self, ThreadId};

use burn::tensor::{Int, Tensor, TensorData};
use gpt2_core::device;
use gpt2_core::ops::{self, ChosenIds, NoChoice, SampleOptions};

use crate::Result;
use crate::draft::Drafter;
use crate::reader::{Reader, prompts_of};
use crate::row::Row;

/// The rows whose tokens the device chooses.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// What shapes the draws, if tokens are drawn.
    options: SampleOptions,
    flight: Option<Flight>,
}

/// Choices that the device has been asked for.
#[derive(Debug)]
struct Flight {
    /// Numbers of the rows, in the order of their places in the reader.
    rows: Vec<usize>,
    ids: Tensor<1, Int>,
    told: ChosenIds,
    /// A device has a queue for every thread that calls it.
    thread: ThreadId,
}

/// A row's number, and what was chosen for it.
pub(crate) type Choice = (usize, Result<u32, NoChoice>);

impl Ahead {
    /// For rows about which the host need not be asked: `None` where scores are wanted there, guesses are made, or a text
    /// may slide.
    pub fn new(rows: &[Row], reader: &Reader, drafter: &Drafter) -> Option<Self> {
        let options = rows.first()?.processors.for_a_device()?;
        let suits = |row: &Row| {
            row.processors.for_a_device() == Some(options)
                && row.log_probs.is_none()
                && row.lengths.end <= reader.n_positions() + 1
        };
        let is_alone = matches!(drafter, Drafter::None) && reader.chooses_on_the_device();
        (is_alone && rows.iter().all(suits)).then_some(Self { options, flight: None })
    }

    /// The next token of every row that is not finished, in their order. While this waits for them the device has the step
    /// behind them to do.
    ///
    /// # Errors
    /// From the model's batch, or when the device fails.
    pub fn next(&mut self, rows: &mut [Row], reader: &mut Reader) -> Result<Vec<Choice>> {
        let device = reader.device().clone();
        device::guarded(&device, || {
            let mut flight = match self.flight.take() {
                Some(flight) => flight,
                None => self.begin(rows, reader)?,
            };
            if flight.thread != thread::current().id() {
                flight.told.arrive();
            }
            self.flight = self.follow(&flight, rows, reader)?;
            let choices = flight.rows.into_iter().zip(flight.told.wait()?);
            Ok(choices.filter(|(row, _)| rows[*row].is_live()).collect())
        })
    }

    /// Reads every prompt once, and has a token chosen for every row.
    fn begin(&self, rows: &mut [Row], reader: &mut Reader) -> Result<Flight> {
        let (texts, places) = prompts_of(rows);
        let mut logits = reader.logits(&texts)?;
        if texts.len() < places.len() {
            reader.rearrange(&places)?;
            logits = logits.select(0, numbers(&places, reader));
        }
        let all = (0..rows.len()).collect();
        Ok(self.choose(logits, all, rows))
    }

    /// Has the chosen tokens read, and the next ones chosen, for rows that do not end with what they have; `None` where
    /// there are none.
    fn follow(
        &self,
        flight: &Flight,
        rows: &mut [Row],
        reader: &mut Reader,
    ) -> Result<Option<Flight>> {
        let goes_on = |row: usize| rows[row].is_live() && rows[row].room() > 1;
        let places: Vec<usize> =
            (0..flight.rows.len()).filter(|&place| goes_on(flight.rows[place])).collect();
        if places.is_empty() {
            return Ok(None);
        }
        let mut ids = flight.ids.clone();
        if places.len() < flight.rows.len() {
            reader.rearrange(&places)?;
            ids = ids.select(0, numbers(&places, reader));
        }
        let left = places.iter().map(|&place| flight.rows[place]).collect();
        Ok(Some(self.choose(reader.follow(ids), left, rows)))
    }

    /// Asks the device for a token of each of some rows, whose logits these are.
    fn choose(&self, logits: Tensor<2>, numbers: Vec<usize>, rows: &mut [Row]) -> Flight {
        let draws: Option<Vec<f32>> =
            numbers.iter().map(|&row| rows[row].sampler.number()).collect();
        let chosen = match draws {
            Some(draws) => ops::choose_sampled(logits, draws, self.options),
            None => ops::choose_highest(logits),
        };
        let told = chosen.read();
        Flight { rows: numbers, ids: chosen.ids, told, thread: thread::current().id() }
    }
}

fn numbers(places: &[usize], reader: &Reader) -> Tensor<1, Int> {
    let places: Vec<i32> = places.iter().map(|&place| place as i32).collect();
    let count = places.len();
    Tensor::from_data(TensorData::new(places, [count]), reader.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::Temperature;
    use crate::plan::Plan;
    use crate::{GenerationConfig, Generator};
    use gpt2_core::{Gpt2, Gpt2Config};

    fn is_asked_for(generator: &Generator, config: &GenerationConfig) -> bool {
        let rows = Plan::new(generator, &[vec![1, 2]], config, 1).unwrap().rows(0..1);
        let reader = Reader::new(&generator.model, &generator.pool, config.use_cache, 1, 8);
        let drafter = Drafter::new(generator, config, 1, 8).unwrap();
        Ahead::new(&rows, &reader.unwrap(), &drafter).is_some()
    }

    #[test]
    fn a_gpu_chooses_unless_the_host_must() {
        let config = Gpt2Config {
            vocab_size: 11,
            n_positions: 8,
            n_embd: 8,
            n_layer: 1,
            n_head: 2,
            ..Gpt2Config::gpt2()
        };
        let device = device::test_device();
        let generator = Generator::new(&Gpt2::init(&config, 1, &device).unwrap());
        let greedy = GenerationConfig { max_new_tokens: Some(3), ..GenerationConfig::default() };
        let drawn = GenerationConfig { do_sample: true, ..greedy.clone() };
        let window = GenerationConfig { sliding_window: Some(4), ..greedy.clone() };
        for config in [
            greedy.clone(),
            drawn.clone(),
            GenerationConfig { temperature: 0.7, top_k: 5, top_p: 0.9, ..drawn.clone() },
            GenerationConfig { eos_token_id: vec![3], ..drawn.clone() },
            // Nine tokens, of which the last is not read.
            GenerationConfig { max_new_tokens: Some(7), ..window.clone() },
        ] {
            let expected = generator.model.chooses_on_its_device();
            assert_eq!(is_asked_for(&generator, &config), expected, "{config:?}");
            assert!(!expected || device::is_gpu(&device));
        }
        for config in [
            GenerationConfig { log_probs: true, ..greedy.clone() },
            GenerationConfig { use_cache: false, ..greedy.clone() },
            GenerationConfig { prompt_lookup_num_tokens: Some(2), ..greedy.clone() },
            GenerationConfig { repetition_penalty: 1.1, ..greedy.clone() },
            GenerationConfig { min_p: Some(0.1), ..drawn.clone() },
            GenerationConfig { max_new_tokens: Some(8), ..window },
        ] {
            assert!(!is_asked_for(&generator, &config), "{config:?}");
        }
        let processor = Temperature::new(0.5).unwrap();
        assert!(!is_asked_for(&generator.with_processor(processor), &greedy));
    }
}
