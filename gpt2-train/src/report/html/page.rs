//! The page of a [`Report`].

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use super::chart::{Chart, Series, Shape};
use super::curve::Curve;
use super::scale::{Scale, reading};
use crate::report::card::{model_rows, training_rows};
use crate::report::samples::SampleRecord;
use crate::report::table::{COLUMNS, best_epoch, cells, duration, epoch_number};

const STYLE: &str = include_str!("style.css");

/// Nothing is loaded and nothing runs, whatever a text may contain.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page of a report; every text is escaped by the template.
pub(super) fn page(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (report.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (report.name) }
                    p { (report.summary) }
                }
                (key_numbers(report))
                @for chart in charts(report) { (chart.figure()) }
                (table(report))
                (samples(report))
                (configuration(report))
            }
        }
    };
    page.into_string()
}

/// The numbers to know first, with a remark on each.
fn key_numbers(report: &Report) -> Markup {
    let progress = &report.progress;
    let mut numbers: Vec<[String; 3]> = Vec::new();
    let mut add = |name: &str, value: String, remark: String| {
        numbers.push([name.to_string(), value, remark]);
    };
    if let Some(best) = progress.best {
        let at = format!("best, epoch {}", epoch_number(best.epoch));
        add("validation loss", format!("{:.4}", best.eval_loss), at);
        add("perplexity", reading(best.eval_perplexity), "of the same".to_string());
        let accuracy = format!("{:.2} %", 100.0 * best.eval_accuracy);
        add("accuracy", accuracy, "next token".to_string());
    }
    if let Some((loss, steps)) = report.curves.loss.latest() {
        add(
            "training loss",
            format!("{loss:.4}"),
            format!("mean, last {} steps", reading(steps as f64)),
        );
    }
    let of = format!("of {}, epoch {}", report.total_steps, epoch_number(progress.epoch));
    add("steps", progress.step.to_string(), of);
    let rate = progress.tokens as f64 / progress.training_seconds;
    let rate = if rate.is_finite() { format!("{rate:.0} per second") } else { String::new() };
    add("tokens", reading(progress.tokens as f64), rate);
    let evaluations = format!("evaluation {}", duration(progress.evaluation_seconds));
    let seconds = progress.training_seconds + progress.evaluation_seconds;
    add("time", duration(seconds), evaluations);
    html! {
        section.numbers {
            @for [name, value, remark] in &numbers {
                div { span { (name) } strong { (value) } small { (remark) } }
            }
        }
    }
}

fn charts(report: &Report) -> Vec<Chart> {
    if report.progress.step == 0 && report.evaluations.is_empty() {
        return Vec::new();
    }
    let steps = report.progress.step;
    let charts = [loss_chart(report), rate_chart(report), norm_chart(report)];
    charts.map(|chart| Chart { steps, ..chart }).into()
}

fn series(name: impl Into<String>, class: &'static str, shape: Shape) -> Series {
    Series { name: name.into(), class, shape }
}

/// A chart whose length is still to be given.
fn chart(title: &'static str, unit: &'static str, series: Vec<Series>, y: Scale) -> Chart {
    Chart { title, unit, series, y, steps: 0 }
}

fn norm_chart(report: &Report) -> Chart {
    let norm = &report.curves.grad_norm;
    let y = Scale::fitting(norm.points().iter().flat_map(|point| [point.low, point.high]));
    let series = vec![
        series("least and most", "spread", Shape::Band(norm.range())),
        series("before clipping", "norm", Shape::Line(norm.means())),
    ];
    chart("Gradient norm", "of all trained parameters", series, y)
}

fn loss_chart(report: &Report) -> Chart {
    let loss = &report.curves.loss;
    let mut valid = Curve::default();
    for evaluation in &report.evaluations {
        valid.push(evaluation.step, evaluation.eval_loss);
    }
    let valid = valid.means();
    let values = loss.points().iter().flat_map(|point| [point.low, point.high]);
    let y = Scale::fitting(values.chain(valid.iter().map(|point| point.1)));
    let smoothed = match loss.smoothed_over() {
        1 => Vec::new(),
        _ => loss.smoothed(),
    };
    let over = format!("smoothed, over {} steps", reading(loss.smoothed_over() as f64));
    let series = vec![
        series("least and most", "spread", Shape::Band(loss.range())),
        series("training", "training", Shape::Line(loss.means())),
        series(over, "smoothed", Shape::Line(smoothed)),
        series("validation", "validation", Shape::Marks(valid)),
    ];
    chart("Loss", "nats per token", series, y)
}

fn rate_chart(report: &Report) -> Chart {
    let highest = report.curves.rate.means();
    let lowest = report.curves.lowest_rate.means();
    let rates = || highest.iter().chain(&lowest).map(|point| point.1);
    let is_one = lowest.iter().all(|point| highest.contains(point));
    if is_one {
        let y = Scale::from_zero(rates());
        let series = vec![series("rate", "rate", Shape::Line(highest))];
        return chart("Learning rate", "of each update", series, y);
    }
    // The groups' rates differ by a factor, which a logarithmic axis shows and a linear one hides.
    let y = Scale::fitting(rates());
    let series = vec![
        series("highest, of the last group", "rate", Shape::Line(highest)),
        series("lowest, of the first group", "lowest", Shape::Line(lowest)),
    ];
    chart("Learning rate", "of each update", series, y)
}

/// The card's table.
fn table(report: &Report) -> Markup {
    let best = best_epoch(&report.epochs);
    html! {
        @if !report.epochs.is_empty() {
            section {
                h2 { "Epochs" }
                div.scroll {
                    table {
                        thead { tr { @for column in COLUMNS { th { (column) } } } }
                        tbody {
                            @for (index, epoch) in report.epochs.iter().enumerate() {
                                tr.best[best == Some(index)] {
                                    @for cell in cells(epoch) { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The samples, those of the latest evaluation first and open.
fn samples(report: &Report) -> Markup {
    let groups: Vec<&[SampleRecord]> =
        report.samples.chunk_by(|a, b| a.step == b.step).rev().collect();
    html! {
        @if !groups.is_empty() {
            section {
                h2 { "Samples" }
                @for (index, group) in groups.iter().enumerate() {
                    details open[index == 0] {
                        summary { (heading(report, &group[0])) }
                        @for record in *group {
                            blockquote dir="auto" {
                                b { (record.sample.prompt) } (record.sample.text)
                            }
                        }
                    }
                }
            }
        }
    }
}

fn heading(report: &Report, record: &SampleRecord) -> String {
    let at = format!("Step {}, epoch {}", record.step, epoch_number(record.epoch));
    match report.evaluations.iter().find(|evaluation| evaluation.step == record.step) {
        Some(evaluation) => format!("{at}, validation loss {:.4}", evaluation.eval_loss),
        None => at,
    }
}

fn configuration(report: &Report) -> Markup {
    let training = training_rows(&report.training, &report.recipe);
    let model = report.model.as_ref().map(model_rows).unwrap_or_default();
    let options = serde_json::to_string_pretty(&report.training).unwrap_or_default();
    html! {
        section {
            h2 { "Configuration" }
            div.columns {
                @for (title, rows) in [("Model", model), ("Training", training)] {
                    @if !rows.is_empty() {
                        div.scroll {
                            table.plain {
                                caption { (title) }
                                @for (name, value) in rows {
                                    tr { th scope="row" { (name) } td { (value) } }
                                }
                            }
                        }
                    }
                }
            }
            details { summary { "All options" } pre { (options) } }
        }
    }
}
