//! Comparing numbers, with messages that say where they part.

use std::io::Write;

use crate::tensors::Array;
use crate::tolerance::Tolerance;

/// Asserts that two arrays agree where `keep` holds for a position.
///
/// # Panics
/// If they do not; the message names the array, the position and both values there.
pub fn assert_close(
    context: &str,
    found: &[f32],
    expected: &Array,
    tolerance: Tolerance,
    keep: impl Fn(&[usize]) -> bool,
) {
    let name = &expected.name;
    assert_eq!(found.len(), expected.values.len(), "{context}: {name} has {:?}", expected.shape);
    let (mut worst, mut scale, mut at) = (0.0f64, 0.0f64, 0);
    for (flat, (&found, &expected_value)) in found.iter().zip(&expected.values).enumerate() {
        if !keep(&unravel(flat, &expected.shape)) {
            continue;
        }
        let difference = (f64::from(found) - expected_value).abs();
        // NaN compares false with everything, so it must count as the worst there is.
        if difference > worst || difference.is_nan() {
            (worst, at) = (if difference.is_nan() { f64::INFINITY } else { difference }, flat);
        }
        scale = scale.max(expected_value.abs());
    }
    let (allowed, kind) = (tolerance.allowed(scale), tolerance.kind);
    record(context, tolerance, worst, scale);
    assert!(
        worst <= allowed,
        "{context}: {name}{:?} is {}, expected {}; \
         they differ by {worst:.3e}, {allowed:.3e} is allowed ({kind})",
        unravel(at, &expected.shape),
        found[at],
        expected.values[at],
    );
}

/// Asserts that two numbers agree.
///
/// # Panics
/// If they do not.
pub fn assert_near(context: &str, found: f64, expected: f64, tolerance: Tolerance) {
    let difference = (found - expected).abs();
    record(context, tolerance, difference, expected.abs());
    assert!(
        difference <= tolerance.allowed(expected.abs()),
        "{context}: {found}, expected {expected}; they differ by {difference:.3e} ({})",
        tolerance.kind,
    );
}

/// Every position counts.
pub fn everywhere(_: &[usize]) -> bool {
    true
}

fn unravel(flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut rest = flat;
    let mut position: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let at = rest % extent;
            rest /= extent;
            at
        })
        .collect();
    position.reverse();
    position
}

/// Writes a measured distance: the numbers beside the tolerances come from there.
fn record(context: &str, tolerance: Tolerance, worst: f64, scale: f64) {
    let Tolerance { kind, absolute, relative } = tolerance;
    let share = worst / (absolute + relative * scale);
    measured(&format!("{kind}\t{worst:.2e}\t{scale:.2e}\t{share:.4}\t{context}"));
}

/// With `GPT2_PARITY_MEASURE` set, writes a line about what was found.
pub fn measured(what: &str) {
    if std::env::var_os("GPT2_PARITY_MEASURE").is_some() {
        let _ = std::io::stderr().write_all(format!("measured\t{what}\n").as_bytes());
    }
}

#[test]
fn positions_are_unravelled_row_major() {
    assert_eq!(unravel(17, &[2, 3, 4]), [1, 1, 1]);
    assert_eq!(unravel(0, &[]), Vec::<usize>::new());
}

#[test]
#[should_panic(expected = "x[1, 0] is NaN")]
fn a_nan_is_a_difference() {
    let expected = Array { name: "x".into(), shape: vec![2, 1], values: vec![1.0, 2.0] };
    assert_close("here", &[1.0, f32::NAN], &expected, crate::tolerance::LOGITS, everywhere);
}
