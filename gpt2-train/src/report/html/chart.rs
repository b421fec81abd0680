//! A chart as inline SVG, coloured by the page's style sheet.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use super::scale::{Scale, reading};

/// A line chart over the steps of a run.
#[derive(Debug)]
pub(super) struct Chart {
    pub title: &'static str,
    /// What the numbers of the vertical axis are.
    pub unit: &'static str,
    pub series: Vec<Series>,
    pub y: Scale,
    /// Steps at the right end.
    pub steps: usize,
}

/// What is drawn, and how.
#[derive(Debug)]
pub(super) struct Series {
    pub name: String,
    /// Its class in the style sheet.
    pub class: &'static str,
    pub shape: Shape,
}

/// The points of a series, by step.
#[derive(Debug)]
pub(super) enum Shape {
    Line(Vec<(f64, f64)>),
    /// A line with a mark at every point, where they are few.
    Marks(Vec<(f64, f64)>),
    /// The area between two values.
    Band(Vec<(f64, f64, f64)>),
}

/// A drawing's width and height, and how many numbers its axes have.
struct Size {
    class: &'static str,
    width: f64,
    height: f64,
    ticks: [usize; 2],
    /// Places where values can be read.
    places: usize,
}

/// Two drawings of a chart: text on a telephone is as large as on a screen, and only one is shown.
const SIZES: [Size; 2] = [
    Size { class: "wide", width: 860.0, height: 310.0, ticks: [8, 5], places: 100 },
    Size { class: "narrow", width: 400.0, height: 270.0, ticks: [4, 5], places: 40 },
];

/// Most points that are marked: more of them would hide the line.
const MOST_MARKS: usize = 80;

/// Room for labels around a plot: left, top, right, below.
const MARGINS: [f64; 4] = [52.0, 20.0, 12.0, 38.0];

impl Chart {
    /// The chart with its title and legend.
    pub fn figure(&self) -> Markup {
        html! {
            figure {
                figcaption {
                    h2 {
                        (self.title)
                        small { ", " (self.unit) @if self.y.is_log() { ", logarithmic" } }
                    }
                    ul.legend {
                        @for series in self.series.iter().filter(|series| !series.is_empty()) {
                            li class=(series.class) { (series.name) }
                        }
                    }
                }
                @for size in &SIZES { (self.svg(size)) }
            }
        }
    }

    fn svg(&self, size: &Size) -> Markup {
        let plot = Plot::new(self, size);
        let view = format!("0 0 {} {}", size.width, size.height);
        let [left, top, right, bottom] = plot.edges;
        html! {
            svg class=(size.class) viewBox=(view) role="img" aria-label=(self.title) {
                g.axis {
                    @for (value, label) in self.y.ticks(size.ticks[1]) {
                        line x1=(left) x2=(right) y1=(plot.y(value)) y2=(plot.y(value)) {}
                        text x=(left - 8.0) y=(plot.y(value) + 4.0) text-anchor="end" { (label) }
                    }
                    @for (value, label) in plot.x.ticks(size.ticks[0]) {
                        text x=(plot.x(value)) y=(bottom + 17.0) text-anchor="middle" { (label) }
                    }
                    text x=((left + right) / 2.0) y=(bottom + 33.0) text-anchor="middle" { "step" }
                    line.base x1=(left) x2=(right) y1=(bottom) y2=(bottom) {}
                }
                @for series in &self.series { (series.drawn(&plot)) }
                g.readings {
                    @for [from, x, to] in self.places(&plot, size.places) {
                        g {
                            rect x=(round(from)) y=(top) width=(round(to - from))
                                height=(bottom - top) {}
                            line x1=(round(x)) x2=(round(x)) y1=(top) y2=(bottom) {}
                            text x=(left) y=(top - 7.0) { (self.reading(&plot, from, x, to)) }
                        }
                    }
                }
            }
        }
    }

    /// Strips of the plot with the place in each that values are read at.
    fn places(&self, plot: &Plot, most: usize) -> Vec<[f64; 3]> {
        let Some(longest) = self.series.iter().map(Series::lines).max_by_key(Vec::len) else {
            return Vec::new();
        };
        let every = longest.len().div_ceil(most).max(1);
        let middle = |chunk: &[(f64, f64)]| plot.x(chunk[chunk.len() / 2].0);
        let places: Vec<f64> = longest.chunks(every).map(middle).collect();
        let [left, _, right, _] = plot.edges;
        let border = |at: usize| match (at.checked_sub(1), places.get(at)) {
            (Some(before), Some(after)) => (places[before] + after) / 2.0,
            (None, _) => left,
            (_, None) => right,
        };
        (0..places.len()).map(|at| [border(at), places[at], border(at + 1)]).collect()
    }

    /// The values nearest to `x`, of what has any between `from` and `to`.
    fn reading(&self, plot: &Plot, from: f64, x: f64, to: f64) -> String {
        let mut text = String::new();
        for series in &self.series {
            let away = |point: &&(f64, f64)| (plot.x(point.0) - x).abs();
            let points = series.lines();
            let near = points.iter().min_by(|a, b| away(a).total_cmp(&away(b)));
            let Some(&(step, value)) = near else { continue };
            if !(from..=to).contains(&plot.x(step)) {
                continue;
            }
            if text.is_empty() {
                let _ = write!(text, "step {:.0}", step.round());
            }
            let _ = write!(text, " · {} {}", series.class, reading(value));
        }
        text
    }
}

/// A chart's axes on a drawing of some size.
struct Plot<'a> {
    x: Scale,
    y: &'a Scale,
    /// Left, top, right, bottom.
    edges: [f64; 4],
}

impl<'a> Plot<'a> {
    fn new(chart: &'a Chart, size: &Size) -> Self {
        let [left, top, right, below] = MARGINS;
        let edges = [left, top, size.width - right, size.height - below];
        Self { x: Scale::between(0.0, chart.steps.max(1) as f64), y: &chart.y, edges }
    }

    fn x(&self, step: f64) -> f64 {
        let [left, _, right, _] = self.edges;
        round(left + self.x.place(step) * (right - left))
    }

    fn y(&self, value: f64) -> f64 {
        let [_, top, _, bottom] = self.edges;
        round(bottom - self.y.place(value) * (bottom - top))
    }

    /// Points as SVG writes them.
    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        points.fold(String::new(), |mut path, (step, value)| {
            let _ = write!(path, "{},{} ", self.x(step), self.y(value));
            path
        })
    }
}

/// To a tenth of a pixel: finer than a screen, and short.
fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

impl Series {
    fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Line(points) | Shape::Marks(points) => points.is_empty(),
            Shape::Band(points) => points.is_empty(),
        }
    }

    /// The points of a line; a band has none to read.
    fn lines(&self) -> Vec<(f64, f64)> {
        match &self.shape {
            Shape::Line(points) | Shape::Marks(points) => points.clone(),
            Shape::Band(_) => Vec::new(),
        }
    }

    fn drawn(&self, plot: &Plot) -> Markup {
        let class = self.class;
        match &self.shape {
            Shape::Line(points) => {
                let path = plot.path(points.iter().copied());
                html! { polyline class=(class) points=(path) {} }
            }
            Shape::Marks(points) => {
                let path = plot.path(points.iter().copied());
                html! {
                    polyline class=(class) points=(path) {}
                    @for &(step, value) in points.iter().filter(|_| points.len() <= MOST_MARKS) {
                        circle class=(class) cx=(plot.x(step)) cy=(plot.y(value)) r="3" {}
                    }
                }
            }
            Shape::Band(points) if points.is_empty() => PreEscaped(String::new()),
            Shape::Band(points) => {
                let low = points.iter().map(|&(step, low, _)| (step, low));
                let high = points.iter().rev().map(|&(step, _, high)| (step, high));
                html! { polygon class=(class) points=(plot.path(low.chain(high))) {} }
            }
        }
    }
}
