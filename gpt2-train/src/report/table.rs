//! The card's table: a row for each epoch.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table, TableStyle};

use crate::record::EpochRecord;

/// Columns of the table, as the published cards have them.
pub(super) const COLUMNS: [&str; 6] =
    ["epoch", "training loss", "validation loss", "perplexity", "accuracy", "time"];

/// Index of the epoch with the lowest validation loss.
#[must_use]
pub fn best_epoch(epochs: &[EpochRecord]) -> Option<usize> {
    let loss = |index: &usize| epochs[*index].evaluation.map_or(f64::INFINITY, |e| e.eval_loss);
    (0..epochs.len())
        // The row before training is a yardstick, and no epoch.
        .filter(|index| epochs[*index].training_loss.is_some())
        .filter(|index| epochs[*index].evaluation.is_some())
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
}

/// The table for a terminal; the best epoch has a star.
#[must_use]
pub fn epoch_table(epochs: &[EpochRecord]) -> String {
    table(epochs, UTF8_FULL_CONDENSED, |text| format!("{text} *"))
}

/// The table for a model card; the best epoch is bold.
#[must_use]
pub fn markdown_table(epochs: &[EpochRecord]) -> String {
    table(epochs, ASCII_MARKDOWN, |text| format!("**{text}**"))
}

fn table(epochs: &[EpochRecord], style: TableStyle, mark: impl Fn(&str) -> String) -> String {
    let best = best_epoch(epochs);
    let mut table = Table::new();
    table.load_style(style).set_header(COLUMNS);
    for (index, record) in epochs.iter().enumerate() {
        let mut cells = cells(record);
        if best == Some(index) {
            cells[2] = mark(&cells[2]);
        }
        table.add_row(cells);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A row of the table.
pub(super) fn cells(record: &EpochRecord) -> [String; 6] {
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_string());
    let evaluation = record.evaluation;
    [
        epoch_number(record.epoch),
        or_dash(record.training_loss.map(|loss| format!("{loss:.4}"))),
        or_dash(evaluation.map(|e| format!("{:.4}", e.eval_loss))),
        or_dash(evaluation.map(|e| format!("{:.2}", e.eval_perplexity))),
        or_dash(evaluation.map(|e| format!("{:.2} %", 100.0 * e.eval_accuracy))),
        duration(record.seconds),
    ]
}

/// Epochs done, with as many digits as it takes, two at most: `3`, `0.5`, `0.37`.
#[must_use]
pub fn epoch_number(epoch: f64) -> String {
    format!("{epoch:.2}").trim_end_matches('0').trim_end_matches('.').to_string()
}

/// Seconds as `h:mm:ss`, the form of the published cards.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::EvaluationRecord;

    fn epoch(number: f64, eval_loss: Option<f64>) -> EpochRecord {
        let evaluation = eval_loss.map(|eval_loss| EvaluationRecord {
            step: 1,
            epoch: number,
            eval_loss,
            eval_accuracy: 0.25,
            eval_perplexity: eval_loss.exp(),
            seconds: 1.0,
        });
        EpochRecord {
            step: 1,
            epoch: number,
            training_loss: (number > 0.0).then_some(4.2596),
            evaluation,
            seconds: 3725.4,
        }
    }

    #[test]
    fn the_best_epoch_is_marked() {
        let epochs = [epoch(1.0, Some(4.0)), epoch(2.0, Some(3.5)), epoch(2.5, Some(3.6))];
        assert_eq!(best_epoch(&epochs), Some(1));
        let text = epoch_table(&epochs);
        assert!(text.contains("3.5000 *") && text.contains("1:02:05"), "{text}");
        assert!(
            text.contains("33.12") && text.contains("25.00 %") && text.contains("2.5 "),
            "{text}"
        );
        let card = markdown_table(&epochs);
        assert!(card.contains("**3.5000**") && card.contains("| epoch |"), "{card}");
    }

    #[test]
    fn the_row_before_training_has_no_training_loss_and_is_never_the_best() {
        let epochs = [epoch(0.0, Some(1.0)), epoch(1.0, Some(4.0))];
        assert_eq!(best_epoch(&epochs), Some(1));
        let text = epoch_table(&epochs);
        assert!(text.contains("0 ┆             - ┆"), "{text}");
        let card = markdown_table(&epochs);
        let first = card.lines().nth(2).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(first, "| 0 | - | 1.0000 | 2.72 | 25.00 % | 1:02:05 |");
    }

    #[test]
    fn a_run_without_validation_has_dashes() {
        let epochs = [epoch(1.0, None)];
        assert_eq!(best_epoch(&epochs), None);
        assert!(epoch_table(&epochs).contains(" - "));
    }
}
