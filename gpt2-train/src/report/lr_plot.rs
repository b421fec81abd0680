//! The curve of a learning-rate sweep as a picture.

use std::fmt::Write;

use crate::lr_finder::{LrPoint, LrSuggestions, LrSweep, SKIPPED_AT_THE_END};
use crate::{Error, Result};

/// Width and height of the picture.
const SIZE: [f64; 2] = [900.0, 520.0];

/// Edges of the plot in it: left, top, right, bottom.
const EDGES: [f64; 4] = [70.0, 50.0, 876.0, 464.0];

/// Colours are those of the elements, so that the file needs nothing else.
const STYLE: &str = "text{font:13px sans-serif;fill:#444}text.title{font-size:18px;fill:#222}\
    line.grid{stroke:#e4e4e4}line.axis{stroke:#888}polyline{fill:none}\
    .loss{stroke:#becde1}.smoothed{stroke:#1f5aa0;stroke-width:2}\
    .valley{stroke:#cd5a14;stroke-width:2}.minimum{stroke:#1e8246;stroke-width:2}";

/// An SVG file of its own: the smoothed loss, and behind it the loss of each batch, over the
/// learning rate on a logarithmic axis; the suggestions `valley` and `minimum` as upright lines.
///
/// The last five points are left out, as in fastai: where the loss explodes it would leave no room
/// for the valley.
///
/// # Errors
/// [`Error::Dataset`] for a sweep without a point.
pub fn lr_plot(sweep: &LrSweep) -> Result<String> {
    let shown = sweep.points.len().saturating_sub(SKIPPED_AT_THE_END);
    let points = match &sweep.points[..shown] {
        [] | [_] => &sweep.points[..],
        points => points,
    };
    let [Some(first), Some(last)] = [points.first(), points.last()] else {
        let reason = "not even the first step of the sweep has a loss".to_string();
        return Err(Error::Dataset { set: "training", reason });
    };
    let plot = Plot::new(first.learning_rate, last.learning_rate, points);
    let [width, height] = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\">\n\
         <title>Learning-rate finder</title>\n<style>{STYLE}</style>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    plot.axes(&mut svg);
    plot.curve(&mut svg, "loss", points, |point| point.loss);
    plot.curve(&mut svg, "smoothed", points, |point| point.smoothed_loss);
    let LrSuggestions { valley, minimum, .. } = sweep.suggestions();
    let mut legend = vec![("loss", "loss".to_string()), ("smoothed", "smoothed loss".to_string())];
    for (name, suggestion) in [("valley", valley), ("minimum", minimum)] {
        if let Some(suggestion) = suggestion {
            let x = plot.x(suggestion.learning_rate);
            let [_, top, _, bottom] = EDGES;
            line(&mut svg, name, [x, top, x, bottom]);
            legend.push((name, format!("{name} {:.2e}", suggestion.learning_rate)));
        }
    }
    write_legend(&mut svg, &legend);
    svg.push_str("</svg>\n");
    Ok(svg)
}

/// Where learning rates and losses lie.
struct Plot {
    /// Logarithms of the rates at the left and the right edge.
    rates: [f64; 2],
    /// Losses at the lower and the upper edge.
    losses: [f64; 2],
}

impl Plot {
    /// Axes for some rates and the smoothed losses; single batches may lie outside of them.
    fn new(first: f64, last: f64, points: &[LrPoint]) -> Self {
        let smoothed = || points.iter().map(|point| point.smoothed_loss);
        let (low, high) =
            (smoothed().fold(f64::MAX, f64::min), smoothed().fold(f64::MIN, f64::max));
        let room = ((high - low) * 0.05).max(1e-3);
        // A tenth below the lowest loss may be a rate that the sweep did not have.
        let left = first.log10() - 1.0;
        Self { rates: [left, last.log10().max(left + 2.0)], losses: [low - room, high + room] }
    }

    fn x(&self, learning_rate: f64) -> f64 {
        let [left, _, right, _] = EDGES;
        let [low, high] = self.rates;
        let share = ((learning_rate.log10() - low) / (high - low)).clamp(0.0, 1.0);
        left + share * (right - left)
    }

    fn y(&self, loss: f64) -> f64 {
        let [_, top, _, bottom] = EDGES;
        let [low, high] = self.losses;
        bottom - ((loss - low) / (high - low)).clamp(0.0, 1.0) * (bottom - top)
    }

    fn curve(&self, svg: &mut String, class: &str, points: &[LrPoint], of: fn(&LrPoint) -> f64) {
        let place = |point: &LrPoint| {
            format!("{:.1},{:.1}", self.x(point.learning_rate), self.y(of(point)))
        };
        let places: Vec<String> = points.iter().map(place).collect();
        let _ = writeln!(svg, "<polyline class=\"{class}\" points=\"{}\"/>", places.join(" "));
    }

    /// A line for each power of ten and for round losses, with their numbers.
    fn axes(&self, svg: &mut String) {
        let [left, top, right, bottom] = EDGES;
        let middle = (left + right) / 2.0;
        text(svg, "title", [left, top - 20.0], "start", "Learning-rate finder");
        for power in self.rates[0].ceil() as i32..=self.rates[1].floor() as i32 {
            let x = self.x(10f64.powi(power));
            line(svg, "grid", [x, top, x, bottom]);
            text(svg, "x", [x, bottom + 20.0], "middle", &format!("1e{power}"));
        }
        let [low, high] = self.losses;
        let step = round_step((high - low) / 6.0);
        for index in (low / step).ceil() as i64..=(high / step).floor() as i64 {
            let loss = index as f64 * step;
            line(svg, "grid", [left, self.y(loss), right, self.y(loss)]);
            let digits = (-step.log10().floor()).max(0.0) as usize;
            text(svg, "y", [left - 8.0, self.y(loss) + 4.0], "end", &format!("{loss:.digits$}"));
        }
        line(svg, "axis", [left, bottom, right, bottom]);
        line(svg, "axis", [left, top, left, bottom]);
        text(svg, "x", [middle, bottom + 42.0], "middle", "learning rate");
        text(svg, "y", [right, top - 20.0], "end", "loss in nats per token");
    }
}

/// 1, 2 or 5 times a power of ten, not less than `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let parts = [1.0, 2.0, 5.0].into_iter().find(|part| part * power >= rough);
    parts.unwrap_or(10.0) * power
}

fn line(svg: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let places = format!("x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"");
    let _ = writeln!(svg, "<line class=\"{class}\" {places}/>");
}

/// Words of this module: none has a character that XML wants escaped.
fn text(svg: &mut String, class: &str, [x, y]: [f64; 2], anchor: &str, words: &str) {
    let place = format!("x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"");
    let _ = writeln!(svg, "<text class=\"{class}\" {place}>{words}</text>");
}

fn write_legend(svg: &mut String, names: &[(&str, String)]) {
    let [left, top, ..] = EDGES;
    for (row, (class, name)) in names.iter().enumerate() {
        let y = top + 20.0 + 20.0 * row as f64;
        line(svg, class, [left + 14.0, y, left + 38.0, y]);
        text(svg, "name", [left + 46.0, y + 4.0], "start", name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lr_finder::SweepEnd;

    fn sweep(count: i32) -> LrSweep {
        let point = |at: i32| {
            let smoothed_loss = 5.0 + (f64::from(at) - 60.0).powi(2) / 1e3;
            let learning_rate = 10f64.powf(f64::from(at) / 12.5 - 7.0);
            LrPoint { learning_rate, loss: smoothed_loss + 0.1, smoothed_loss }
        };
        LrSweep { points: (0..count).map(point).collect(), num_it: 100, end: SweepEnd::Complete }
    }

    #[test]
    fn a_plot_has_both_curves_and_both_suggestions() {
        let svg = lr_plot(&sweep(100)).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
        let found = sweep(100).suggestions();
        for (name, suggestion) in [("valley", found.valley), ("minimum", found.minimum)] {
            let rate = suggestion.unwrap().learning_rate;
            // One line in the plot and one in the legend.
            assert_eq!(svg.matches(&format!("<line class=\"{name}\"")).count(), 2, "{name}");
            assert!(svg.contains(&format!("{name} {rate:.2e}</text>")), "{name}");
        }
        // From a decade below the first rate: 1e-8.
        for label in [">1e-8<", ">1e0<", ">5<", ">8<", ">learning rate<"] {
            assert!(svg.contains(label), "{label} {svg}");
        }
        // Without the last five of the hundred points.
        let curve = svg.lines().find(|line| line.contains("class=\"smoothed\" points")).unwrap();
        assert_eq!(curve.matches(',').count(), 95, "{curve}");
    }

    #[test]
    fn places_are_logarithmic_in_the_rate_and_inside_the_plot() {
        let plot = Plot::new(1e-6, 1.0, &sweep(100).points);
        let [left, top, right, bottom] = EDGES;
        assert!((plot.x(1e-7) - left).abs() < 1e-9 && (plot.x(1.0) - right).abs() < 1e-9);
        let middle = plot.x(10f64.powf(-3.5));
        assert!((middle - (left + right) / 2.0).abs() < 1e-9, "{middle}");
        assert_eq!((plot.y(100.0), plot.y(0.0)), (top, bottom));
    }

    #[test]
    fn a_short_sweep_is_drawn_without_suggestions_and_an_empty_one_is_refused() {
        let svg = lr_plot(&sweep(1)).unwrap();
        assert!(svg.contains("smoothed loss") && !svg.contains("<line class=\"valley\""), "{svg}");
        assert!(lr_plot(&sweep(0)).unwrap_err().to_string().contains("first step"));
    }

    #[test]
    fn steps_of_the_axis_are_round() {
        for (rough, step) in [(0.3, 0.5), (0.11, 0.2), (1.0, 1.0), (7.0, 10.0)] {
            assert!((round_step(rough) - step).abs() < 1e-12, "{rough}");
        }
    }
}
