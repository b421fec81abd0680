//! What a run reports while it goes.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

use crate::evaluate::Evaluation;

/// One optimizer step.
///
/// What is not written is left out because the keys of `metrics.jsonl` are a contract.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps done, this one included.
    pub step: usize,
    /// Epochs done, this step included.
    pub epoch: f64,
    /// Mean loss per token of the step's batches, before the update, in nats.
    pub loss: f64,
    /// Learning rate of the update; with layer groups that of the last one.
    pub learning_rate: f64,
    /// Learning rate of the first group.
    #[serde(skip)]
    pub lowest_learning_rate: f64,
    /// Beta1 of the update.
    #[serde(skip)]
    pub adam_beta1: f64,
    /// Norm of the gradient before clipping, over the parameters that are trained.
    pub grad_norm: f64,
    /// Parameters whose gradient was scaled down.
    #[serde(skip)]
    pub clipped_tensors: usize,
    /// Tokens that the step read.
    pub tokens: usize,
    /// Length of the sequence that a token of the step is in, on average: that of all sequences
    /// where they are of one length. The work of attention is proportional to it.
    #[serde(skip)]
    pub sequence_length: f64,
    /// Tokens divided by the step's wall-clock time.
    pub tokens_per_second: f64,
    /// Why the step changed neither weights nor optimizer, if it did not. Loss and norm may then be
    /// no numbers, which `metrics.jsonl` has as null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<SkipReason>,
}

/// Why a step was skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SkipReason {
    /// A gradient did not fit into f16; the loss scale is halved.
    Overflow,
    /// Loss or gradient norm lie too far above those of the steps before, or are no numbers.
    Outlier,
}

/// One evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Steps done.
    pub step: usize,
    /// Epochs done.
    pub epoch: f64,
    /// Mean loss per token, in nats.
    #[serde(deserialize_with = "number_or_nan")]
    pub eval_loss: f64,
    /// Share of tokens that were the likeliest.
    pub eval_accuracy: f64,
    /// `exp(eval_loss)`.
    #[serde(deserialize_with = "number_or_nan")]
    pub eval_perplexity: f64,
    /// Wall-clock time of the evaluation.
    pub seconds: f64,
}

/// JSON has no infinity, which is the perplexity of a loss above 709, and writes `null` instead.
fn number_or_nan<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl EvaluationRecord {
    pub(crate) fn new(step: usize, epoch: f64, evaluation: &Evaluation) -> Self {
        Self {
            step,
            epoch,
            eval_loss: evaluation.loss,
            eval_accuracy: evaluation.accuracy,
            eval_perplexity: evaluation.perplexity,
            seconds: evaluation.seconds,
        }
    }
}

/// One row of the card's table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Steps done.
    pub step: usize,
    /// Epochs done; a fraction where a run ends inside an epoch.
    pub epoch: f64,
    /// Mean loss per token over the epoch's steps, in nats; none for the row before the first step.
    pub training_loss: Option<f64>,
    /// The evaluation at its end, where there is validation data.
    pub evaluation: Option<EvaluationRecord>,
    /// Wall-clock time of the epoch, evaluation included.
    pub seconds: f64,
}

/// Something that happened in a run, for progress bars, logs and files.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The run starts or goes on.
    Started {
        /// Steps that were done before: 0, or that of the checkpoint.
        step: usize,
        /// Step of the latest evaluation that was made before; what a log has of later ones comes
        /// again.
        evaluated: Option<usize>,
        /// Optimizer steps in all.
        total_steps: usize,
    },
    /// The run goes on from a checkpoint; [`Started`](Self::Started) follows.
    Resumed {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// What is different about the machine, in words: the last bits of the numbers may be so too.
        changes: Vec<String>,
    },
    /// A checkpoint has been written.
    Saved {
        /// Steps done.
        step: usize,
        /// Its folder.
        checkpoint: PathBuf,
    },
    /// An optimizer step is done.
    Step(StepRecord),
    /// A part of an evaluation is done.
    Evaluating {
        /// Sequences done.
        done: usize,
        /// Sequences in all.
        total: usize,
    },
    /// An evaluation is done.
    Evaluated(EvaluationRecord),
    /// An epoch is done.
    Epoch(EpochRecord),
}
