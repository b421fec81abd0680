//! Head and loss together, in parts of the rows, so that the logits of all of them never exist together.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::gemm::{Into, Matrix, multiply};
use super::memory::Buffer;
use super::simd::{exp, run, sum_of};

/// Rows whose logits exist at a time. Enough for products that keep the cores busy, and for the gradient of
/// the table, which each part adds to, to be small change.
const ROWS: usize = 256;
/// Numbers whose exponentials are summed in f32.
const BLOCK: usize = 1024;

/// Hidden states, the table that scores them, and what should come out.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub hidden: &'a [f32],
    pub table: &'a [f32],
    pub targets: &'a [usize],
    pub width: usize,
}

/// Which gradients are computed, with what factor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub hidden: bool,
    pub table: bool,
    pub factor: f32,
}

/// What a pass over all rows finds.
pub(super) struct Found {
    /// Sum over the rows, in nats.
    pub loss: f64,
    /// Rows with the largest logit at the target.
    pub hits: usize,
    pub by_hidden: Option<Buffer>,
    pub by_table: Option<Buffer>,
}

impl Head<'_> {
    /// Loss and hits, and the gradients of the loss times the factor.
    pub fn loss(self, wanted: Option<Wanted>) -> Found {
        let Self { hidden, table, targets, width } = self;
        let vocab = table.len() / width;
        let gradient = |is_wanted: fn(&Wanted) -> bool, len: usize| {
            wanted.as_ref().filter(|wanted| is_wanted(wanted)).map(|_| Buffer::new(len))
        };
        let mut by_hidden = gradient(|wanted| wanted.hidden, hidden.len());
        let mut by_table = gradient(|wanted| wanted.table, table.len());
        let mut logits = Buffer::new(ROWS.min(targets.len()) * vocab);
        let (mut loss, mut hits) = (0.0, 0);
        let head = Matrix::new(table, vocab, width);
        for (part, targets) in targets.chunks(ROWS).enumerate() {
            let (rows, first) = (targets.len(), part * ROWS * width);
            let from = Matrix::new(&hidden[first..first + rows * width], rows, width);
            let logits = &mut logits[..rows * vocab];
            multiply(from, head.transposed(), logits, Into::Overwrite);
            let found = rows_of(logits, targets, wanted.map(|wanted| wanted.factor));
            loss += found.iter().map(|row| row.0).sum::<f64>();
            hits += found.iter().filter(|row| row.1).count();
            let errors = Matrix::new(logits, rows, vocab);
            if let Some(gradient) = &mut by_hidden {
                let gradient = &mut gradient[first..first + rows * width];
                multiply(errors, head, gradient, Into::Overwrite);
            }
            if let Some(gradient) = &mut by_table {
                let into = if part == 0 { Into::Overwrite } else { Into::Add };
                multiply(errors.transposed(), from, gradient, into);
            }
        }
        Found { loss, hits, by_hidden, by_table }
    }
}

/// Loss of every row, and whether its largest logit is at the target. With a factor the logits become their
/// gradients: probabilities, less one at the target, times the factor.
fn rows_of(logits: &mut [f32], targets: &[usize], factor: Option<f32>) -> Vec<(f64, bool)> {
    let vocab = logits.len() / targets.len();
    let row = |(logits, &target): (&mut [f32], &usize)| run(Row { logits, target, factor });
    logits.par_chunks_mut(vocab).zip(targets).map(row).collect()
}

struct Row<'a> {
    logits: &'a mut [f32],
    target: usize,
    factor: Option<f32>,
}

impl WithSimd for Row<'_> {
    type Output = (f64, bool);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f64, bool) {
        let Self { logits, target, factor } = self;
        let right = logits[target];
        let highest = highest(logits);
        // The first of several that are equally high is the one that counts.
        let hit = right == highest && !logits[..target].contains(&highest);
        let total: f64 = match factor {
            Some(_) => {
                let mut total = 0.0;
                for block in logits.chunks_mut(BLOCK) {
                    for logit in block.iter_mut() {
                        *logit = exp(*logit - highest);
                    }
                    total += f64::from(sum_of(block, block, |x, _| x));
                }
                total
            }
            None => {
                let sum = |block: &[f32]| f64::from(sum_of(block, block, |x, _| exp(x - highest)));
                logits.chunks(BLOCK).map(sum).sum()
            }
        };
        if let Some(factor) = factor {
            let share = (f64::from(factor) / total) as f32;
            for logit in logits.iter_mut() {
                *logit *= share;
            }
            logits[target] -= factor;
        }
        (total.ln() + f64::from(highest) - f64::from(right), hit)
    }
}

/// The largest number.
#[inline(always)]
fn highest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut wide = values.chunks_exact(16);
    for values in &mut wide {
        for (lane, value) in lanes.iter_mut().zip(values) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(wide.remainder()).fold(f32::NEG_INFINITY, |most, value| most.max(*value))
}
