//! From scores to probabilities.

/// The largest score; minus infinity where there is none.
pub(crate) fn largest(scores: &[f32]) -> f32 {
    // Eight running maxima instead of one: the compiler turns them into one vector register.
    let (blocks, rest) = scores.as_chunks::<8>();
    let mut lanes = [f32::NEG_INFINITY; 8];
    for block in blocks {
        for (lane, &score) in lanes.iter_mut().zip(block) {
            *lane = if score > *lane { score } else { *lane };
        }
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max)
}

/// `exp(score - largest)`: a probability before it is divided by the sum of all of them.
pub(crate) fn weight(score: f32, largest: f32) -> f64 {
    f64::from(score - largest).exp()
}

/// The logarithm of the probability of `id`, `log_softmax(scores)[id]`.
pub(crate) fn log_probability(scores: &[f32], id: u32) -> f64 {
    let best = largest(scores);
    let total: f64 = scores.iter().map(|&score| weight(score, best)).sum();
    let score = scores.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
    f64::from(score - best) - total.ln()
}
