//! The factor that keeps gradients of f16 above its smallest number.

use serde::{Deserialize, Serialize};

/// Scale of the first step, `init_scale`.
const FIRST: f64 = 65_536.0;
/// `growth_factor`.
const GROWTH: f64 = 2.0;
/// `backoff_factor`.
const BACKOFF: f64 = 0.5;
/// Good steps before the scale grows, `growth_interval`.
const GROWTH_INTERVAL: u32 = 2000;
/// A gradient that overflows at this scale is not the scale's fault (DeepSpeed's `min_loss_scale`).
const LEAST: f64 = 1.0;

/// Dynamic loss scale, with the constants of `torch.amp.GradScaler`.
///
/// All factors are powers of two, so that scaling rounds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LossScale {
    /// What the loss is multiplied with.
    pub scale: f64,
    /// Good steps since the scale last moved.
    pub growth_tracker: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: FIRST, growth_tracker: 0 }
    }
}

impl LossScale {
    /// Takes in a step whose gradient was finite.
    pub fn grow(&mut self) {
        self.growth_tracker += 1;
        if self.growth_tracker >= GROWTH_INTERVAL {
            *self = Self { scale: self.scale * GROWTH, growth_tracker: 0 };
        }
    }

    /// Takes in a step that overflowed; says whether there is a smaller scale to go on with.
    pub fn back_off(&mut self) -> bool {
        if self.scale <= LEAST {
            return false;
        }
        *self = Self { scale: self.scale * BACKOFF, growth_tracker: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_moves_as_grad_scaler_moves_it() {
        let mut scale = LossScale::default();
        assert!(scale.back_off());
        assert_eq!(scale.scale, 32_768.0);
        for _ in 0..1_999 {
            scale.grow();
        }
        assert_eq!(scale.scale, 32_768.0);
        scale.grow();
        assert_eq!(scale, LossScale { scale: 65_536.0, growth_tracker: 0 });
        // An overflow starts the count anew.
        scale.grow();
        assert!(scale.back_off());
        assert_eq!(scale, LossScale { scale: 32_768.0, growth_tracker: 0 });
    }

    #[test]
    fn there_is_a_least_scale() {
        let mut scale = LossScale::default();
        let moves = (0..100).take_while(|_| scale.back_off()).count();
        assert_eq!((moves, scale.scale), (16, 1.0));
    }
}
