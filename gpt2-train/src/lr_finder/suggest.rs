//! Learning rates that a sweep suggests, by the rules of fastai.

use serde::Serialize;

use super::{LrPoint, LrSweep, SweepEnd};

/// Points at the end that no rule looks at: the loss is on its way up there.
pub(crate) const SKIPPED_AT_THE_END: usize = 5;

/// Points between the two slopes that [`LrSuggestions::slide`] compares, and the difference at
/// which it stops.
const SLIDE: (usize, f64) = (15, 0.005);

/// A learning rate, and where it was read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Suggestion {
    /// The learning rate.
    pub learning_rate: f64,
    /// Index of the point that it comes from, among all points of the sweep.
    pub point: usize,
}

/// What the rules of fastai say of a sweep; `None` where there are too few points for a rule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LrSuggestions {
    /// In the longest valley, which is the longest sequence of ever smaller losses, two thirds of
    /// a third after its first third: the rule that fastai follows unless told otherwise.
    pub valley: Option<Suggestion>,
    /// A tenth of the rate with the lowest loss.
    pub minimum: Option<Suggestion>,
    /// Where the loss falls most steeply over the logarithm of the rate.
    pub steep: Option<Suggestion>,
    /// The highest rate from which the slope does not change abruptly.
    pub slide: Option<Suggestion>,
}

impl LrSweep {
    /// A learning rate by each rule.
    ///
    /// The rules look at the smoothed losses without the first tenth of the sweep and the last five
    /// points. Equals `suggest_funcs` of `Learner.lr_find`; but a valley that has only the first two
    /// points gives the first rate, where fastai counts from the wrong end and gives the last.
    #[must_use]
    pub fn suggestions(&self) -> LrSuggestions {
        let first = self.num_it / 10;
        // A sweep that has lost its numbers goes on in fastai, and is cut where it lost them.
        let recorded = match self.end {
            SweepEnd::NonFinite => self.num_it,
            _ => self.points.len(),
        };
        let last = recorded.saturating_sub(SKIPPED_AT_THE_END).min(self.points.len());
        let points = self.points.get(first..last).unwrap_or_default();
        let suggestion = |point: Option<usize>, factor: f64| {
            let point = point?;
            let learning_rate = points[point].learning_rate * factor;
            Some(Suggestion { learning_rate, point: first + point })
        };
        LrSuggestions {
            valley: suggestion(valley(points), 1.0),
            minimum: suggestion(lowest(points.iter().map(|point| point.smoothed_loss)), 0.1),
            steep: suggestion(steep(points), 1.0),
            slide: suggestion(slide(points), 1.0),
        }
    }
}

/// The longest decreasing subsequence, and a place in it.
fn valley(points: &[LrPoint]) -> Option<usize> {
    let loss = |at: usize| points[at].smoothed_loss;
    // For each point the length of the longest sequence that ends there.
    let mut lengths: Vec<usize> = Vec::with_capacity(points.len());
    for at in 0..points.len() {
        let before = (0..at).filter(|&before| loss(at) < loss(before));
        lengths.push(1 + before.map(|before| lengths[before]).max().unwrap_or(0));
    }
    let longest = lengths.iter().copied().max()?;
    let end = lengths.iter().position(|&length| length == longest)?;
    // A sequence of one point is no valley; fastai then stays where it began.
    let length = if longest > 1 { longest } else { 0 };
    // `end` minus `length` is -1 where all points up to `end` fall.
    let place = end as i64 - length as i64 + (length / 3) as i64 + (length / 6) as i64;
    Some(place.max(0) as usize)
}

fn lowest(values: impl Iterator<Item = f64>) -> Option<usize> {
    values.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index)
}

fn steep(points: &[LrPoint]) -> Option<usize> {
    let slope = |pair: &[LrPoint]| {
        let fall = pair[1].smoothed_loss - pair[0].smoothed_loss;
        fall / (pair[1].learning_rate.ln() - pair[0].learning_rate.ln())
    };
    lowest(points.windows(2).map(slope))
}

fn slide(points: &[LrPoint]) -> Option<usize> {
    let (apart, most) = SLIDE;
    let slopes = slopes(points);
    let mut left = points.len().checked_sub(apart + 1)?;
    let mut found = left;
    while (slopes[left + apart] - slopes[left]).abs() > most {
        found = left;
        match left.checked_sub(1) {
            Some(next) => left = next,
            None => break,
        }
    }
    Some(found)
}

/// `numpy.gradient`: differences of the two neighbours, and of one neighbour at the ends.
fn slopes(points: &[LrPoint]) -> Vec<f64> {
    let loss = |at: usize| points[at].smoothed_loss;
    let end = points.len().saturating_sub(1);
    let slope = |at: usize| {
        let (left, right) = (at.saturating_sub(1), (at + 1).min(end));
        (loss(right) - loss(left)) / (right - left).max(1) as f64
    };
    (0..points.len()).map(slope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sweep of which the rules see these losses.
    fn sweep(losses: &[f64]) -> LrSweep {
        let num_it = 10;
        let all = std::iter::once(9.0).chain(losses.iter().copied());
        let point = |(at, loss): (usize, f64)| LrPoint {
            learning_rate: 10f64.powi(at as i32 - 10),
            loss,
            smoothed_loss: loss,
        };
        let mut points: Vec<_> = all.enumerate().map(point).collect();
        points.extend_from_slice(&[points[0]; SKIPPED_AT_THE_END]);
        LrSweep { points, num_it, end: SweepEnd::Complete }
    }

    #[test]
    fn every_rule_finds_its_place() {
        let losses = [5.0, 5.1, 5.0, 4.9, 4.6, 4.0, 3.9, 3.8, 3.7, 4.5];
        let found = sweep(&losses).suggestions();
        // The valley has eight points, the last of which is the ninth: 8 - 8 + 2 + 1.
        assert_eq!(found.valley.unwrap().point, 1 + 3);
        let minimum = found.minimum.unwrap();
        assert_eq!(minimum.point, 1 + 8);
        assert!((minimum.learning_rate - 1e-2).abs() < 1e-12, "{minimum:?}");
        assert_eq!(found.steep.unwrap().point, 1 + 4);
        assert_eq!(found.slide, None, "too few points");
    }

    #[test]
    fn few_points_give_what_they_can() {
        assert_eq!(sweep(&[]).suggestions(), LrSuggestions::default());
        let one = sweep(&[4.0]).suggestions();
        assert_eq!((one.valley.unwrap().point, one.minimum.unwrap().point), (1, 1));
        assert_eq!(one.steep, None);
        // Of two falling points fastai's index would be -1.
        assert_eq!(sweep(&[4.0, 3.0, 5.0]).suggestions().valley.unwrap().point, 1);
    }

    #[test]
    fn a_sweep_that_lost_its_numbers_is_used_to_its_end() {
        let whole = sweep(&[5.0, 4.0, 3.0]);
        let points = whole.points[..4].to_vec();
        let cut = |end| LrSweep { points: points.clone(), num_it: 10, end }.suggestions().minimum;
        assert_eq!(cut(SweepEnd::NonFinite).unwrap().point, 3);
        assert_eq!(cut(SweepEnd::Stopped), None);
    }

    #[test]
    fn slide_goes_down_from_the_end_while_slopes_differ() {
        let mut losses = vec![5.0; 20];
        losses.extend((1..6).map(|at| 5.0 + f64::from(at)));
        let found = sweep(&losses).suggestions().slide.unwrap();
        // The last pair whose slopes differ is the one whose right side is at the first rise.
        assert_eq!(found.point, 1 + 19 - 15);
    }
}
