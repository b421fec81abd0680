//! `typical_p`.

use super::scratch::Scratch;
use super::select::sorted_while;
use super::{EXCLUDED, LogitsProcessor, at_least_one, inside_unit};
use crate::Result;
use crate::probability::{Softmax, above, weight};

/// Leaves the tokens whose information is nearest to the expected one, until their probabilities
/// reach a sum (Meister et al. 2022).
///
/// Equals `transformers`' `TypicalLogitsWarper`: the token that reaches the sum is kept, and all
/// that are as near as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TypicalP {
    typical_p: f64,
    min_tokens_to_keep: usize,
    tokens: Scratch<(f32, u32)>,
}

impl TypicalP {
    /// Leaves the fewest typical tokens whose probabilities reach `typical_p`.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) unless `typical_p` is in (0, 1).
    pub fn new(typical_p: f64) -> Result<Self> {
        let typical_p = inside_unit("typical_p", typical_p)?;
        Ok(Self { typical_p, min_tokens_to_keep: 1, tokens: Scratch::default() })
    }

    /// Leaves at least so many tokens, whatever their probabilities.
    ///
    /// # Errors
    /// [`Error::Option`](crate::Error::Option) when it is 0.
    pub fn with_min_tokens_to_keep(self, min_tokens_to_keep: usize) -> Result<Self> {
        Ok(Self { min_tokens_to_keep: at_least_one(min_tokens_to_keep)?, ..self })
    }
}

impl LogitsProcessor for TypicalP {
    fn process(&mut self, _ids: &[u32], scores: &mut [f32]) {
        let softmax = Softmax::of(scores);
        // An information of `-ln p` nats is at this score as much as is expected.
        let expected = -softmax.entropy - softmax.log_probability(0.0);
        let tokens = &mut self.tokens.0;
        tokens.clear();
        let distance = |score: f32| (f64::from(score) - expected).abs() as f32;
        tokens.extend(above(scores, EXCLUDED).map(|(id, score)| (distance(score), id)));
        let by_distance = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        let enough = self.typical_p * softmax.total;
        let (mut kept, mut sum, mut last) = (0, 0.0, 0.0);
        let kept = sorted_while(tokens, by_distance, |&(distance, id)| {
            if sum >= enough && kept >= self.min_tokens_to_keep && distance > last {
                return false;
            }
            sum += weight(scores[id as usize], softmax.largest);
            kept += 1;
            last = distance;
            true
        });
        for &(_, id) in &tokens[kept..] {
            scores[id as usize] = EXCLUDED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logits::kept_of;

    /// Entropy 1.21 nats, information 0.69, 1.39, 2.08 and 2.08: the second is nearest, then the
    /// first, then the other two.
    const PROBABILITIES: [f64; 4] = [0.5, 0.25, 0.125, 0.125];

    #[test]
    fn the_nearest_to_the_entropy_are_kept() {
        let kept = |typical_p| kept_of(TypicalP::new(typical_p).unwrap(), &PROBABILITIES);
        assert_eq!(kept(0.2), [1]);
        assert_eq!(kept(0.3), [0, 1]);
        // Those that are equally near come together.
        assert_eq!(kept(0.8), [0, 1, 2, 3]);
    }

    #[test]
    fn a_least_number_of_tokens_is_kept() {
        let processor = TypicalP::new(0.1).unwrap().with_min_tokens_to_keep(2).unwrap();
        assert_eq!(kept_of(processor, &PROBABILITIES), [0, 1]);
    }

    #[test]
    fn excluded_tokens_have_no_part_in_the_entropy() {
        let kept = kept_of(TypicalP::new(0.3).unwrap(), &[0.0, 0.5, 0.0, 0.25, 0.125, 0.125]);
        assert_eq!(kept, [1, 3]);
    }

    #[test]
    fn only_probabilities_between_none_and_all_are_accepted() {
        for typical_p in [0.0, 1.0, -0.1, f64::NAN, f64::INFINITY] {
            let error = TypicalP::new(typical_p).unwrap_err().to_string();
            assert!(error.starts_with("`typical_p` is"), "{error}");
        }
    }
}
