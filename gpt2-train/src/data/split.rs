//! Holding out a part of the documents.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::{Error, Result};

/// Splits off `fraction` of the items, chosen by `seed`; both parts keep the order of the input.
///
/// Returns `(kept, held_out)`; at least one item goes to either side.
///
/// # Errors
/// [`Error::Option`] when the fraction is not in (0, 1), [`Error::Dataset`] for fewer than two
/// items.
pub fn split<T>(items: Vec<T>, fraction: f64, seed: u64) -> Result<(Vec<T>, Vec<T>)> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(Error::option("valid_fraction", fraction, "a number between 0 and 1"));
    }
    if items.len() < 2 {
        let reason = format!("{} document cannot be split in two", items.len());
        return Err(Error::Dataset { set: "training", reason });
    }
    let count = ((items.len() as f64 * fraction).round() as usize).clamp(1, items.len() - 1);
    let mut order: Vec<usize> = (0..items.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut held_out = vec![false; items.len()];
    for &index in &order[..count] {
        held_out[index] = true;
    }
    let (out, kept): (Vec<_>, Vec<_>) = items.into_iter().zip(held_out).partition(|(_, out)| *out);
    let strip = |part: Vec<(T, bool)>| part.into_iter().map(|(item, _)| item).collect();
    Ok((strip(kept), strip(out)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_holds_every_item_once_and_depends_on_the_seed() {
        let (kept, out) = split((0..50).collect(), 0.1, 1).unwrap();
        assert_eq!((kept.len(), out.len()), (45, 5));
        let mut all = [kept, out.clone()].concat();
        all.sort_unstable();
        assert_eq!(all, (0..50).collect::<Vec<_>>());
        assert_eq!(split((0..50).collect(), 0.1, 1).unwrap().1, out);
        assert_ne!(split((0..50).collect(), 0.1, 2).unwrap().1, out);
    }

    #[test]
    fn either_side_gets_something() {
        assert_eq!(split(vec![1, 2], 0.01, 0).unwrap().1.len(), 1);
        assert_eq!(split(vec![1, 2], 0.99, 0).unwrap().0.len(), 1);
        assert!(split(vec![1], 0.5, 0).is_err());
        assert!(split(vec![1, 2], 0.0, 0).is_err());
        assert!(split(vec![1, 2], f64::NAN, 0).is_err());
    }
}
