//! A quantity over the steps of a run, in bounded memory.

/// Most points of a curve. More of them could not be told apart on a screen.
const MOST: usize = 400;

/// Points that the smoothed curve averages over, as a share of all.
const WINDOW: f64 = 1.0 / 15.0;

/// A quantity over the steps. Where there are more steps than points, a point stands for several
/// steps, twice as many every time that the run has doubled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Curve {
    /// Steps that a point stands for.
    width: usize,
    points: Vec<Point>,
}

/// What a quantity was over a few steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    bucket: usize,
    count: usize,
    steps: f64,
    sum: f64,
    pub low: f64,
    pub high: f64,
}

impl Default for Curve {
    fn default() -> Self {
        Self { width: 1, points: Vec::new() }
    }
}

impl Point {
    pub fn step(&self) -> f64 {
        self.steps / self.count as f64
    }

    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    fn absorb(&mut self, other: &Self) {
        self.count += other.count;
        self.steps += other.steps;
        self.sum += other.sum;
        self.low = self.low.min(other.low);
        self.high = self.high.max(other.high);
    }
}

impl Curve {
    /// Adds a value; steps do not fall. What is no number is left out.
    pub fn push(&mut self, step: usize, value: f64) {
        if !value.is_finite() {
            return;
        }
        while step / self.width >= MOST {
            self.halve();
        }
        let bucket = step / self.width;
        let (sum, steps) = (value, step as f64);
        self.add(Point { bucket, count: 1, steps, sum, low: value, high: value });
    }

    /// Makes each point stand for twice as many steps.
    fn halve(&mut self) {
        self.width *= 2;
        for point in std::mem::take(&mut self.points) {
            self.add(Point { bucket: point.bucket / 2, ..point });
        }
    }

    fn add(&mut self, point: Point) {
        match self.points.last_mut() {
            Some(last) if last.bucket >= point.bucket => last.absorb(&point),
            _ => self.points.push(point),
        }
    }

    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Step and mean of every point.
    pub fn means(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|point| (point.step(), point.mean())).collect()
    }

    /// The highest and the lowest value, where points stand for several steps.
    pub fn range(&self) -> Vec<(f64, f64, f64)> {
        if self.width == 1 {
            return Vec::new();
        }
        self.points.iter().map(|point| (point.step(), point.low, point.high)).collect()
    }

    /// Points on either side that the smoothed curve takes in.
    fn reach(&self) -> usize {
        (self.points.len() as f64 * WINDOW / 2.0).round() as usize
    }

    /// Steps that a point of the smoothed curve averages over.
    pub fn smoothed_over(&self) -> usize {
        (2 * self.reach() + 1) * self.width
    }

    /// The mean of the last steps, and how many they are: as many as the smoothed curve takes in.
    pub fn latest(&self) -> Option<(f64, usize)> {
        let first = self.points.len().saturating_sub(2 * self.reach() + 1);
        let last = &self.points[first..];
        let steps: usize = last.iter().map(|point| point.count).sum();
        let sum: f64 = last.iter().map(|point| point.sum).sum();
        (steps > 0).then(|| (sum / steps as f64, steps))
    }

    /// The mean around every point, the nearer the weightier, which does not lag behind as a running
    /// one does; near the ends it is over as many points as there are on both sides.
    pub fn smoothed(&self) -> Vec<(f64, f64)> {
        let count = self.points.len();
        let mean = |at: usize| {
            let reach = self.reach().min(at).min(count - 1 - at);
            let around = self.points[at - reach..=at + reach].iter().enumerate();
            let (sum, steps) = around.fold((0.0, 0.0), |(sum, steps), (place, point)| {
                let weight = (reach + 1 - place.abs_diff(reach)) as f64;
                (sum + weight * point.sum, steps + weight * point.count as f64)
            });
            sum / steps
        };
        (0..count).map(|at| (self.points[at].step(), mean(at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_steps_are_a_few_points_and_lose_neither_mean_nor_extremes() {
        let mut curve = Curve::default();
        for step in 1..=1_000_000 {
            curve.push(step, if step == 654_321 { 1e6 } else { 2.0 });
        }
        assert!((MOST / 2..=MOST).contains(&curve.points.len()), "{}", curve.points.len());
        let sum: f64 = curve.points.iter().map(|point| point.sum).sum();
        assert_eq!(sum, 2.0 * 999_999.0 + 1e6);
        assert_eq!(curve.range().iter().map(|range| range.2).fold(0.0, f64::max), 1e6);
        assert!(curve.means().is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn where_points_lie_follows_from_the_steps_alone() {
        let value = |step: usize| (step as f64).sin();
        let (mut whole, mut rest) = (Curve::default(), Curve::default());
        (1..=1000).for_each(|step| whole.push(step, value(step)));
        (1..=1000).filter(|step| step % 7 != 0).for_each(|step| rest.push(step, value(step)));
        assert_eq!(whole.width, rest.width);
        let places = |curve: &Curve| curve.points.iter().map(|p| p.bucket).collect::<Vec<_>>();
        assert_eq!(places(&whole), places(&rest));
    }

    #[test]
    fn a_smoothed_line_is_the_line() {
        let mut curve = Curve::default();
        (1..=200).for_each(|step| curve.push(step, 3.0 * step as f64));
        assert_eq!(curve.smoothed_over(), 15);
        assert_eq!(curve.latest(), Some((3.0 * 193.0, 15)));
        for ((step, smooth), (_, mean)) in curve.smoothed().iter().zip(curve.means()) {
            assert!((smooth - mean).abs() < 1e-9, "step {step}: {smooth} {mean}");
        }
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut curve = Curve::default();
        curve.push(1, f64::NAN);
        curve.push(2, f64::INFINITY);
        assert_eq!(curve.points, []);
        assert_eq!(curve.smoothed(), []);
        assert_eq!(curve.latest(), None);
    }
}
