//! What is said of a run: in its model card, and at its end.

use std::path::Path;

use gpt2_train::Evaluation;
use gpt2_train::report::{ModelCard, epoch_table};
use serde_json::json;

use super::super::Outcome;
use super::TrainArgs;
use crate::args::Global;
use crate::output;

pub fn card(args: &TrainArgs) -> ModelCard {
    let datasets: Vec<String> = args.data.data.iter().filter_map(|file| name(file)).collect();
    ModelCard {
        name: name(&args.output).unwrap_or_else(|| "GPT-2".to_string()),
        summary: format!("A GPT-2 language model trained on {}.", datasets.join(", ")),
        base_model: base_model(args),
        ..ModelCard::default()
    }
}

/// What is said of the model that was fine-tuned.
pub fn base_model(args: &TrainArgs) -> Option<String> {
    args.start.model.as_ref().and_then(|model| match model.is_dir() {
        // Where it lies on this machine is nobody's business.
        true => name(model),
        false => Some(model.display().to_string()),
    })
}

fn name(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

/// Prints how it went.
pub fn report(
    outcome: &gpt2_train::Outcome,
    test: Option<&Evaluation>,
    args: &TrainArgs,
    global: &Global,
) -> Outcome {
    let last = outcome.epochs.last();
    if global.json {
        let best = outcome.best.as_ref().map(|(record, _)| record);
        let mut summary = json!({
            "steps": outcome.steps,
            "epochs": last.map_or(0.0, |epoch| epoch.epoch),
            "best": best,
            "last": last.and_then(|epoch| epoch.evaluation),
            "seconds": outcome.seconds,
        });
        if let Some(test) = test {
            summary["test"] = serde_json::to_value(test)?;
        }
        return Ok(output::json(&summary)?);
    }
    output::line(epoch_table(&outcome.epochs))?;
    if let Some(Evaluation { loss, perplexity, accuracy, .. }) = test {
        let accuracy = 100.0 * accuracy;
        output::line(format!(
            "Test: loss {loss:.4}, perplexity {perplexity:.2}, accuracy {accuracy:.2} %."
        ))?;
    }
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}
