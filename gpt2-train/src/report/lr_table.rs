//! A learning-rate sweep as a table.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

use crate::lr_finder::{LrPoint, LrSuggestions, LrSweep, Suggestion};

/// A row for each step, in which the suggested learning rates are marked.
///
/// A suggestion stands at the step whose learning rate is next to it: that of `minimum` a tenth
/// below the lowest loss.
#[must_use]
pub fn lr_table(sweep: &LrSweep) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "step",
        "learning rate",
        "loss",
        "smoothed loss",
        "suggestion",
    ]);
    let marks = marks(sweep);
    for (index, point) in sweep.points.iter().enumerate() {
        let here: Vec<&str> =
            marks.iter().filter(|(_, at)| *at == index).map(|(name, _)| *name).collect();
        table.add_row([
            (index + 1).to_string(),
            format!("{:.2e}", point.learning_rate),
            format!("{:.4}", point.loss),
            format!("{:.4}", point.smoothed_loss),
            here.join(", "),
        ]);
    }
    for column in table.column_iter_mut().take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// Every suggestion and the row that it is marked in.
fn marks(sweep: &LrSweep) -> Vec<(&'static str, usize)> {
    let LrSuggestions { valley, minimum, steep, slide } = sweep.suggestions();
    let all = [("valley", valley), ("minimum", minimum), ("steep", steep), ("slide", slide)];
    all.into_iter()
        .filter_map(|(name, suggestion)| Some((name, nearest(&sweep.points, suggestion?)?)))
        .collect()
}

/// The point whose learning rate is next to the suggested one, on a logarithmic scale.
fn nearest(points: &[LrPoint], Suggestion { learning_rate, .. }: Suggestion) -> Option<usize> {
    let apart = |point: &LrPoint| (point.learning_rate / learning_rate).ln().abs();
    let nearest = points.iter().enumerate().min_by(|a, b| apart(a.1).total_cmp(&apart(b.1)));
    nearest.map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lr_finder::SweepEnd;

    #[test]
    fn suggestions_are_marked_where_their_rates_are() {
        let point = |at: i32| LrPoint {
            learning_rate: 10f64.powf(f64::from(at) / 10.0 - 5.0),
            loss: 3.0,
            smoothed_loss: 3.0 + (f64::from(at) - 30.0).abs() / 50.0,
        };
        let points = (0..50).map(point).collect();
        let sweep = LrSweep { points, num_it: 50, end: SweepEnd::Complete };
        let table = lr_table(&sweep);
        // The loss is lowest at the 31st step; the tenth of its rate is ten steps before.
        let row = table.lines().find(|line| line.contains("minimum")).unwrap();
        assert!(row.contains(" 21 ┆") && row.contains("1.00e-3"), "{row}");
        // From the sixth on, 26 points fall; the eleventh after it is two thirds of a third after
        // the first third of them.
        let row = table.lines().find(|line| line.contains("valley")).unwrap();
        assert!(row.contains(" 17 ┆") && row.contains("3.2800"), "{row}");
        assert_eq!(table.lines().count(), 50 + 4);
    }
}
