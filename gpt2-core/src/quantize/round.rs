//! Rounding of a group of weights to whole numbers with one scale.

use half::bf16;

use super::IntFormat;

/// Slightly smaller and larger scales that are tried for 4 bits, in tenths of a step of the largest weight.
const TRIED: std::ops::RangeInclusive<i8> = -9..=9;

/// Rounds a group; gives the scale that the whole numbers are to be multiplied with.
///
/// Scales are stored as bf16, whose upper half of an `f32` the kernels widen at no cost.
pub(super) fn round(values: &[f32], format: IntFormat, out: &mut [i8]) -> bf16 {
    match format {
        IntFormat::Int8 => round_8(values, out),
        IntFormat::Int4 => round_4(values, out),
    }
}

/// The largest weight becomes 127.
fn round_8(values: &[f32], out: &mut [i8]) -> bf16 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    // Rounded up, so that nothing is cut off.
    let scale = bf16::from_bits(((largest / 127.0).to_bits().saturating_add(0xFFFF) >> 16) as u16);
    if scale.to_f32() < f32::MIN_POSITIVE {
        out.fill(0);
        return bf16::ZERO;
    }
    for (out, value) in out.iter_mut().zip(values) {
        *out = whole(value / scale.to_f32()) as i8;
    }
    scale
}

/// The scale of least squares among those that send the largest weight to about -8.
///
/// A scale has a sign, because there is a -8 and no 8. For whole numbers q, the best scale is `x.q / q.q`, which
/// leaves `x.x - (x.q)^2 / q.q`.
fn round_4(values: &[f32], out: &mut [i8]) -> bf16 {
    let largest = values.iter().fold(0f32, |largest, &value| match value.abs() > largest.abs() {
        true => value,
        false => largest,
    });
    let mut best = (0.0, 0.0);
    if largest.abs() >= f32::MIN_POSITIVE {
        for tried in TRIED {
            let inverse = -(8.0 + 0.1 * f32::from(tried)) / largest;
            let (mut xq, mut qq) = (0.0, 0.0);
            for &value in values {
                let whole = to_4(value * inverse);
                xq += value * whole;
                qq += whole * whole;
            }
            if qq > 0.0 && xq * xq / qq > best.0 {
                best = (xq * xq / qq, xq / qq);
            }
        }
    }
    let scale = bf16::from_f32(best.1);
    if scale.to_f32().abs() < f32::MIN_POSITIVE || !scale.is_finite() {
        out.fill(0);
        return bf16::ZERO;
    }
    for (out, value) in out.iter_mut().zip(values) {
        *out = to_4(value / scale.to_f32()) as i8;
    }
    scale
}

fn to_4(value: f32) -> f32 {
    whole(value.clamp(-8.0, 7.0))
}

/// The nearest whole number, halves to even, of a number below 2^22: in the last bits of a larger number. Unlike
/// `round_ties_even` it is two additions on every processor.
fn whole(value: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    (value + ROUND) - ROUND
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(values: &[f32], format: IntFormat) -> f32 {
        let mut whole = vec![0; values.len()];
        let scale = round(values, format, &mut whole).to_f32();
        values.iter().zip(whole).map(|(x, q)| (x - scale * f32::from(q)).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn no_weight_is_off_by_more_than_half_a_step() {
        let values: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.0) * 0.013).collect();
        let largest = values.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert!(error(&values, IntFormat::Int8) <= largest / 127.0 * 0.51);
        assert!(error(&values, IntFormat::Int4) <= largest / 7.0);
    }

    #[test]
    fn what_is_on_the_grid_stays() {
        let values: Vec<f32> = (-8..8).map(|q| f32::from(q as i8) * 0.25).collect();
        assert_eq!(error(&values, IntFormat::Int4), 0.0);
    }

    #[test]
    fn nothing_and_almost_nothing_become_zero() {
        for format in [IntFormat::Int8, IntFormat::Int4] {
            for values in [[0.0; 8], [f32::MIN_POSITIVE; 8], [-1e-44; 8]] {
                assert!(error(&values, format) <= f32::MIN_POSITIVE);
            }
        }
    }
}
