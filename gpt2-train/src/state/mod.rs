//! Where a run is.

mod loss_scale;
mod outlier;
mod skip;

use serde::{Deserialize, Serialize};

use self::loss_scale::LossScale;
use self::outlier::OutlierGuard;
use crate::record::{EpochRecord, EvaluationRecord};

/// Everything about a run but weights and optimizer; from it alone follows what is done next.
///
/// The order of the data and the masks of dropout are functions of the seed and these counts, so
/// no state of a random generator is among it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunState {
    /// Optimizer steps done.
    pub step: usize,
    /// Whether nothing is left to be done.
    pub is_finished: bool,
    /// A row for each epoch that is over.
    pub epochs: Vec<EpochRecord>,
    /// Summed loss of the steps of the current epoch.
    pub epoch_loss: f64,
    /// Tokens that it is the sum over.
    pub epoch_scored: usize,
    /// Wall-clock time spent on the current epoch.
    pub epoch_seconds: f64,
    /// Steps of the optimizer since the stage began.
    pub optimizer_steps: i32,
    /// The latest evaluation.
    pub evaluation: Option<EvaluationRecord>,
    /// The best evaluation.
    pub best: Option<EvaluationRecord>,
    /// Evaluations since the best one.
    pub without_gain: usize,
    /// Wall-clock time of the run.
    pub seconds: f64,
    /// Steps that moved nothing.
    pub skipped_steps: usize,
    /// With `dtype` f16.
    pub loss_scale: Option<LossScale>,
    /// With `skip_z_score`.
    pub outliers: Option<OutlierGuard>,
}

impl RunState {
    /// The evaluation of the current step, if it has been made.
    pub fn evaluation_here(&self) -> Option<EvaluationRecord> {
        self.evaluation.filter(|evaluation| evaluation.step == self.step)
    }

    /// Takes in an evaluation; says whether it is the best so far. The one before the first step
    /// is a yardstick and no candidate, as in `transformers`.
    pub fn note_evaluation(&mut self, record: EvaluationRecord) -> bool {
        self.evaluation = Some(record);
        if record.step == 0 {
            return false;
        }
        let better = self.best.is_none_or(|best| record.eval_loss < best.eval_loss);
        if better {
            self.best = Some(record);
        }
        self.without_gain = if better { 0 } else { self.without_gain + 1 };
        better
    }
}
