//! From numbers to places on a chart.

/// An axis: a range of numbers, round numbers in it, and where they lie.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

/// A logarithmic axis is for values that differ by this much.
const WIDE: f64 = 30.0;

/// Room above and below the values of a logarithmic axis, as a factor.
const LOG_ROOM: f64 = 1.2;

impl Scale {
    /// An axis that holds all of `values`, logarithmic where they are positive and far apart.
    pub fn fitting(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = range(values);
        match low > 0.0 && high / low >= WIDE {
            true => Self { low: low / LOG_ROOM, high: high * LOG_ROOM, log: true },
            false => Self::padded(low, high),
        }
    }

    /// A linear axis from 0 to the highest of `values`.
    pub fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let (_, high) = range(values);
        let high = if high > 0.0 { 1.05 * high } else { 1.0 };
        Self { low: 0.0, high, log: false }
    }

    /// A linear axis between two numbers.
    pub fn between(low: f64, high: f64) -> Self {
        Self { low, high: if high > low { high } else { low + 1.0 }, log: false }
    }

    /// A linear axis with some room above and below.
    fn padded(low: f64, high: f64) -> Self {
        let room = match high - low {
            0.0 => low.abs().max(1.0) * 0.1,
            width => width * 0.06,
        };
        Self { low: low - room, high: high + room, log: false }
    }

    pub fn is_log(&self) -> bool {
        self.log
    }

    /// Where a number lies: 0 at the low end of the axis, 1 at the high one.
    pub fn place(&self, value: f64) -> f64 {
        let place = match self.log {
            true => (value / self.low).ln() / (self.high / self.low).ln(),
            false => (value - self.low) / (self.high - self.low),
        };
        place.clamp(0.0, 1.0)
    }

    /// About `count` round numbers on the axis, with their labels.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let ticks = if self.log { self.log_ticks() } else { self.linear_ticks(count) };
        ticks.into_iter().map(|tick| (tick, label(tick))).collect()
    }

    fn linear_ticks(&self, count: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = power
            * match rough / power {
                share if share <= 1.0 => 1.0,
                share if share <= 2.0 => 2.0,
                share if share <= 5.0 => 5.0,
                _ => 10.0,
            };
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
        // Division by a power of ten is exact where multiplication by its inverse is not: 0.3.
        let tick = |index: i64| match step < 1.0 {
            true => index as f64 / (1.0 / step).round(),
            false => index as f64 * step,
        };
        (first..=last).map(tick).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let decades = (self.low.log10().floor() as i32)..=(self.high.log10().ceil() as i32);
        let wide = self.high / self.low > 1e3;
        let every = (decades.clone().count() / 8).max(1);
        let parts: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        decades
            .step_by(every)
            .flat_map(|power| parts.iter().map(move |part| part * 10f64.powi(power)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// The lowest and the highest of the values that are numbers.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let numbers = values.filter(|value| value.is_finite());
    let (low, high) = numbers.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high { (0.0, 1.0) } else { (low, high) }
}

/// A measured number in few characters: four significant digits, which is what a chart can show.
pub(super) fn reading(value: f64) -> String {
    label(format!("{value:.3e}").parse().unwrap_or(value))
}

/// A round number in few characters: `0.25`, `12k`, `5e-5`.
fn label(value: f64) -> String {
    let size = value.abs();
    let short = |value: f64, digits: usize, unit: &str| {
        let text = format!("{value:.digits$}");
        let text = match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.'),
            false => &text,
        };
        format!("{text}{unit}")
    };
    match size {
        0.0 => "0".to_string(),
        _ if !(1e-2..1e12).contains(&size) => {
            let text = format!("{value:.2e}");
            let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
            format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ if size >= 1e9 => short(value / 1e9, 2, "G"),
        _ if size >= 1e6 => short(value / 1e6, 2, "M"),
        _ if size >= 1e4 => short(value / 1e3, 1, "k"),
        _ => short(value, 4, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks(5).into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(labels(&Scale::between(0.0, 900.0)), ["0", "200", "400", "600", "800"]);
        assert_eq!(labels(&Scale::between(2.93, 4.31)), ["3", "3.5", "4"]);
        assert_eq!(labels(&Scale::between(0.0, 1e6)), ["0", "200k", "400k", "600k", "800k", "1M"]);
        assert_eq!(labels(&Scale::between(0.0, 5.2e-5)), ["0", "2e-5", "4e-5"]);
        assert_eq!(labels(&Scale::between(0.05, 0.35)), ["0.1", "0.2", "0.3"]);
    }

    #[test]
    fn readings_are_short() {
        let values = [0.0, 3.377_777, 577.457, 44_450.0, 1_234_567.0, 4.8e-5, -0.000_123_45];
        let readings = ["0", "3.378", "577.5", "44.5k", "1.24M", "4.8e-5", "-1.23e-4"];
        assert_eq!(values.map(reading), readings);
    }

    #[test]
    fn values_far_apart_have_a_logarithmic_axis() {
        let scale = Scale::fitting([0.5, 120.0].into_iter());
        assert!(scale.is_log());
        assert_eq!(labels(&scale), ["0.5", "1", "2", "5", "10", "20", "50", "100"]);
        assert!((scale.place(60f64.sqrt()) - 0.5).abs() < 1e-9);
        assert!(!Scale::fitting([0.0, 120.0].into_iter()).is_log());
    }

    #[test]
    fn an_axis_of_nothing_or_of_one_number_is_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![3.0], vec![0.0, 0.0]] {
            let scale = Scale::fitting(values.clone().into_iter());
            assert!(scale.place(3.0).is_finite(), "{values:?}");
            assert!(!scale.ticks(5).is_empty(), "{values:?}");
        }
    }
}
