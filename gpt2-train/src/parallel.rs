//! Rows of a batch on several threads.
//!
//! The CPU backends use all cores inside a matrix product and one core in between. Rows of a batch
//! do not depend on each other, so they can be computed side by side; on a GPU, which is one device,
//! there is nothing to gain.

use burn::tensor::Device;
use gpt2_core::device;

use crate::data::Example;

/// Divides rows among the threads: contiguous parts of nearly equal size, in order.
///
/// How many there are depends on the number of rows and threads alone.
pub(crate) fn parts<'r, 'e>(rows: &'r [&'e Example], device: &Device) -> Vec<&'r [&'e Example]> {
    let threads = if device::is_cpu(device) { rayon::current_num_threads() } else { 1 };
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
    use super::*;

    #[test]
    fn parts_hold_every_row_once_and_results_keep_their_order() {
        let examples: Vec<Example> = (0..7).map(|id| Example::new(vec![id, id])).collect();
        let rows: Vec<&Example> = examples.iter().collect();
        let parts = parts(&rows, &device::best().unwrap());
        assert!(parts.len() <= rayon::current_num_threads());
        let first =
            |_, part: &[&Example]| part.iter().map(|row| row.input_ids[0]).collect::<Vec<_>>();
        assert_eq!(map(&parts, first).concat(), (0..7).collect::<Vec<_>>());
        assert!(map(&[], |_, _| ()).is_empty());
    }
}
