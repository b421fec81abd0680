//! Rows of a batch in parts.
//!
//! Ordinary operations of the CPU backends use all cores inside a matrix product and one core in between. Rows of a
//! batch do not depend on each other, so they can be computed side by side. Fused operations use all cores by
//! themselves, and a GPU is one device: there, there is nothing to gain. But a GPU takes tensors up to some size, and a batch that
//! would have larger ones is computed in parts, one after the other.

use gpt2_core::{Gpt2, device};

use crate::Result;
use crate::data::Example;

/// Contiguous parts of rows, in order.
pub(crate) struct Parts<'r, 'e> {
    rows: Vec<&'r [&'e Example]>,
    /// Whether each has a thread of its own.
    side_by_side: bool,
}

/// Divides rows among the threads, nearly equally, or into parts that a GPU takes.
///
/// How many there are depends on the number of rows, and on threads or the device, alone; there is one where `model` gains nothing.
///
/// # Errors
/// [`gpt2_core::Error::TooLarge`] when a GPU does not take even one row.
pub(crate) fn parts<'r, 'e>(rows: &'r [&'e Example], model: &Gpt2) -> Result<Parts<'r, 'e>> {
    let device = model.device();
    if let Some(limits) = device::limits(&device) {
        let longest = rows.iter().map(|row| row.input_ids.len()).max().unwrap_or(1);
        let row = bytes_per_row(model, longest);
        limits.check(&format!("a sequence of {longest} tokens"), row, 0)?;
        let most = usize::try_from(limits.largest_tensor / row).unwrap_or(usize::MAX);
        return Ok(Parts { rows: rows.chunks(most).collect(), side_by_side: false });
    }
    let gains = device::is_cpu(&device) && !model.is_fused();
    let threads = if gains { rayon::current_num_threads() } else { 1 };
    let rows = rows.chunks(rows.len().div_ceil(threads).max(1)).collect();
    Ok(Parts { rows, side_by_side: true })
}

/// Bytes of one row of the largest tensor of a pass; ordinary operations make all scores of attention, and all logits.
fn bytes_per_row(model: &Gpt2, seq: usize) -> u64 {
    let config = model.config();
    let widest = config.inner_dim().max(3 * config.n_embd);
    let width = match model.is_fused() {
        true => widest,
        false => widest.max(config.n_head * seq).max(config.vocab_size),
    };
    4 * seq as u64 * width as u64
}

/// Applies `work` to every part, on threads where that was decided; `take` has the results in the order of parts, each before
/// the next part is begun where there are no threads.
///
/// # Errors
/// What `work` or `take` returns first.
///
/// # Panics
/// If `work` does.
pub(crate) fn for_each<'r, 'e, T: Send>(
    parts: &Parts<'r, 'e>,
    work: impl Fn(usize, &'r [&'e Example]) -> Result<T> + Sync,
    mut take: impl FnMut(T),
) -> Result<()> {
    if !parts.side_by_side {
        for (index, part) in parts.rows.iter().enumerate() {
            take(work(index, part)?);
        }
        return Ok(());
    }
    let [first, others @ ..] = &parts.rows[..] else { return Ok(()) };
    let results = std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = others
            .iter()
            .enumerate()
            .map(|(index, part)| scope.spawn(move || work(index + 1, part)))
            .collect();
        let mut results = vec![work(0, first)];
        for handle in handles {
            results.push(handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    for result in results {
        take(result?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gpt2_core::Gpt2Config;

    use super::*;

    fn config() -> Gpt2Config {
        Gpt2Config { vocab_size: 9, n_embd: 4, n_layer: 1, n_head: 1, ..Gpt2Config::gpt2() }
    }

    fn first_ids(parts: &Parts<'_, '_>) -> Vec<u32> {
        let mut ids = Vec::new();
        let first =
            |_, part: &[&Example]| Ok(part.iter().map(|row| row.input_ids[0]).collect::<Vec<_>>());
        for_each(parts, first, |found| ids.extend(found)).unwrap();
        ids
    }

    #[test]
    fn parts_hold_every_row_once_and_results_keep_their_order() {
        let examples: Vec<Example> = (0..7).map(|id| Example::new(vec![id, id])).collect();
        let rows: Vec<&Example> = examples.iter().collect();
        // A backend without fused operations.
        let ndarray = device::by_name("ndarray").unwrap();
        let model = Gpt2::init(&config(), 1, &ndarray).unwrap();
        let parts = parts(&rows, &model).unwrap();

        assert!(parts.rows.len() <= rayon::current_num_threads());
        assert_eq!(first_ids(&parts), (0..7).collect::<Vec<_>>());
        let one_by_one = Parts { side_by_side: false, ..parts };
        assert_eq!(first_ids(&one_by_one), (0..7).collect::<Vec<_>>());
        assert!(first_ids(&Parts { rows: Vec::new(), side_by_side: true }).is_empty());
    }

    #[test]
    fn a_batch_beyond_the_limits_of_a_gpu_is_divided() {
        let model = Gpt2::init(&config(), 1, &device::test_device()).unwrap();
        let Some(limits) = device::limits(&model.device()) else { return };
        let examples = vec![Example::new(vec![1; 1024]); 10];
        let rows: Vec<&Example> = examples.iter().collect();
        let row = bytes_per_row(&model, 1024);
        let most = (limits.largest_tensor / row) as usize;
        let many: Vec<&Example> = rows.iter().copied().cycle().take(most + 1).collect();
        let parts = parts(&many, &model).unwrap();
        assert_eq!(parts.rows.iter().map(|rows| rows.len()).collect::<Vec<_>>(), [most, 1]);
    }
}
