//! Rows of a batch on several threads.
//!
//! Ordinary operations of the CPU backends use all cores inside a matrix product and one core in between. Rows of a
//! batch do not depend on each other, so they can be computed side by side. Fused operations use all cores by
//! themselves, and a GPU is one device: there, there is nothing to gain.

use gpt2_core::{Gpt2, device};

use crate::data::Example;

/// Divides rows among the threads: contiguous parts of nearly equal size, in order.
///
/// How many there are depends on the number of rows and threads alone; there is one where `model` gains nothing.
pub(crate) fn parts<'r, 'e>(rows: &'r [&'e Example], model: &Gpt2) -> Vec<&'r [&'e Example]> {
    let gains = device::is_cpu(&model.device()) && !model.is_fused();
    let threads = if gains { rayon::current_num_threads() } else { 1 };
    rows.chunks(rows.len().div_ceil(threads).max(1)).collect()
}

/// Applies `work` to every part, each on a thread of its own; results come in the order of parts.
///
/// # Panics
/// If `work` does.
pub(crate) fn map<'r, 'e, T: Send>(
    parts: &[&'r [&'e Example]],
    work: impl Fn(usize, &'r [&'e Example]) -> T + Sync,
) -> Vec<T> {
    let [first, others @ ..] = parts else { return Vec::new() };
    std::thread::scope(|scope| {
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
    })
}

#[cfg(test)]
mod tests {
    use gpt2_core::Gpt2Config;

    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_results_keep_their_order() {
        let examples: Vec<Example> = (0..7).map(|id| Example::new(vec![id, id])).collect();
        let rows: Vec<&Example> = examples.iter().collect();
        let config =
            Gpt2Config { vocab_size: 9, n_embd: 4, n_layer: 1, n_head: 1, ..Gpt2Config::gpt2() };
        // A backend without fused operations.
        let ndarray = device::by_name("ndarray").unwrap();
        let model = Gpt2::init(&config, 1, &ndarray).unwrap();
        let parts = parts(&rows, &model);

        assert!(parts.len() <= rayon::current_num_threads());
        let first =
            |_, part: &[&Example]| part.iter().map(|row| row.input_ids[0]).collect::<Vec<_>>();
        assert_eq!(map(&parts, first).concat(), (0..7).collect::<Vec<_>>());
        assert!(map(&[], |_, _| ()).is_empty());
    }
}
