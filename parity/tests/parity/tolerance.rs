//! Every tolerance, with the distance that was measured. They are never loosened to make a test
//! pass: a larger distance is a finding.

/// How far two numbers may be apart: `absolute + relative * scale`, where the scale is the largest
/// expected value of the array.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// What it is for.
    pub kind: &'static str,
    /// Part that does not depend on the scale.
    pub absolute: f64,
    /// Part of the scale.
    pub relative: f64,
}

impl Tolerance {
    /// The largest distance that passes.
    pub fn allowed(self, scale: f64) -> f64 {
        self.absolute + self.relative * scale
    }
}

const fn relative(kind: &'static str, relative: f64) -> Tolerance {
    Tolerance { kind, absolute: 0.0, relative }
}

const fn absolute(kind: &'static str, absolute: f64) -> Tolerance {
    Tolerance { kind, absolute, relative: 0.0 }
}

// Measured over both backends and all models with `GPT2_PARITY_MEASURE=1`; a tolerance is about
// ten times that, to leave room for other processors.

/// Logits: measured 2.5e-6 (the noise floor, float32 against float64, is 1.1e-6).
pub const LOGITS: Tolerance = relative("logits", 2e-5);

/// Hidden states: measured 1.8e-6.
pub const HIDDEN: Tolerance = relative("hidden states", 2e-5);

/// Attention probabilities: measured 2.9e-6, where scores are not scaled; else 7e-7.
pub const ATTENTIONS: Tolerance = absolute("attentions", 2e-5);

/// Loss of a batch, and mean loss of an evaluation: measured 1.9e-7.
pub const LOSS: Tolerance = relative("loss", 2e-6);

/// Gradients, of the largest entry of their tensor: measured 1.7e-6 (noise floor 1.9e-6); of LoRA's
/// weights 2.5e-6.
pub const GRADIENT: Tolerance = relative("gradient", 2e-5);

/// Training loss at any step of a curve: measured 2.4e-6 (noise floor 1.2e-6), on Keras' curve; else
/// 1.2e-6.
pub const TRAINING_LOSS: Tolerance = absolute("training loss", 1e-5);

/// Training loss with bf16 products, at any step of the Trainer's curve, against that of f32 and that
/// of `torch.autocast`: measured 2.7e-3 (`torch.autocast` against f32: 1.5e-3).
pub const BF16_TRAINING_LOSS: Tolerance = absolute("training loss in bf16", 1e-2);

/// The same with f16 products: measured 4.3e-4 (`torch.autocast` against f32: 2.4e-4).
pub const F16_TRAINING_LOSS: Tolerance = absolute("training loss in f16", 2e-3);
/// Smoothed loss at any step of a learning-rate sweep, whose last rates are far too high: measured
/// 7.9e-6 (noise floor 2.0e-5), and 1.0e-6 where only the last group is trained.
pub const SMOOTHED_LOSS: Tolerance = relative("smoothed loss", 8e-5);

/// Suggested learning rate, which fastai keeps in float32: measured 5.7e-8.
pub const SUGGESTION: Tolerance = relative("suggested learning rate", 5e-7);

/// Norm of the gradient before clipping: measured 7.5e-7.
pub const GRADIENT_NORM: Tolerance = relative("gradient norm", 1e-5);

/// Learning rate of a step, in every layer group: measured 5.5e-15.
pub const LEARNING_RATE: Tolerance = relative("learning rate", 1e-12);

/// Beta1 of a step that a schedule moves: measured 1.2e-16.
pub const MOMENTUM: Tolerance = relative("momentum", 1e-12);

/// Weights after the last step: measured 3.6e-6 (noise floor 2.8e-6; of the fastai curve 6.3e-6); of
/// LoRA's 1.9e-7.
///
/// After the Trainer's without the key third of `c_attn.bias`: softmax does not depend on it, its
/// gradient is rounding noise, and Adam turns noise into full-size steps.
pub const FINAL_WEIGHT: Tolerance = absolute("final weights", 4e-5);

/// Weights with LoRA merged into them, also after training: measured 7.1e-8 (noise floor 7.3e-8).
pub const LORA_MERGED: Tolerance = absolute("merged weights", 1e-6);

/// Decoding with a cache against one full pass: measured 7.2e-7.
pub const CACHED: Tolerance = relative("cached decoding", 1e-5);

/// Scores after processors: measured 0; this is one rounding.
pub const SCORES: Tolerance = absolute("processed scores", 1e-6);

/// Scores after they became logarithms of probabilities: measured 1.9e-6, one rounding at 16
/// to 32; tokens of a continuation, against float64: measured 1.5e-6.
pub const LOG_PROBABILITIES: Tolerance = absolute("log probabilities", 1e-5);

/// Probability of a token after a model's forward pass and the processors of a card: measured
/// 2.1e-7.
pub const PROBABILITY: Tolerance = absolute("probability", 2e-6);

/// Scores of beams: measured 2.9e-6 over both backends (noise floor 9.5e-7).
pub const BEAM_SCORE: Tolerance = absolute("beam score", 3e-5);

/// Mean of all rows of an embedding, summed in float64: measured 0; this is one rounding.
pub const MEAN_ROW: Tolerance = relative("mean row", 2e-7);
