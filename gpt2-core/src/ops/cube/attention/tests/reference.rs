//! Attention as its formulas say it, one number after the other.

use crate::ops::causal_attention::Heads;

/// Texts of one length.
#[derive(Debug, Clone, Copy)]
pub struct Texts {
    pub batch: usize,
    pub seq: usize,
    pub head_dim: usize,
    pub heads: Heads,
}

impl Texts {
    pub fn embd(self) -> usize {
        self.heads.count * self.head_dim
    }

    /// Query, key or value of a token in one head.
    fn part(self, qkv: &[f32], token: usize, part: usize, head: usize) -> Vec<f64> {
        let first = (token * 3 + part) * self.embd() + head * self.head_dim;
        qkv[first..first + self.head_dim].iter().map(|&value| f64::from(value)).collect()
    }

    /// What a query sees: for each key its probability and the mask's element.
    fn row(self, qkv: &[f32], row: usize, head: usize, query: usize) -> (Vec<[f64; 2]>, f64) {
        let at = |token: usize, part| self.part(qkv, row * self.seq + token, part, head);
        let factor = f64::from(self.heads.factor);
        let asked = at(query, 0);
        let scores = (0..=query).map(|key| dot(&asked, &at(key, 1)) * factor);
        let (probabilities, logarithm) = softmax(scores.collect());
        let number = (row * self.heads.count + head) * self.seq + query;
        let element = |key: usize| match self.heads.mask {
            Some(mask) => f64::from(mask.at((number * self.seq + key) as u64)),
            None => 1.0,
        };
        let kept = probabilities.iter().enumerate().map(|(key, &p)| [p, element(key)]);
        (kept.collect(), logarithm)
    }

    /// Output and logarithms.
    pub fn forward(self, qkv: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let (mut output, mut logarithms) = (vec![0.0; self.batch * self.seq * self.embd()], vec![]);
        self.each(|row, head, query| {
            let (seen, logarithm) = self.row(qkv, row, head, query);
            let to = (row * self.seq + query) * self.embd() + head * self.head_dim;
            for (key, [p, kept]) in seen.into_iter().enumerate() {
                let value = self.part(qkv, row * self.seq + key, 2, head);
                add(&mut output[to..to + self.head_dim], p * kept, &value);
            }
            logarithms.push(logarithm);
        });
        (output, logarithms)
    }

    /// The gradient of `qkv`.
    pub fn backward(self, qkv: &[f32], upstream: &[f32]) -> Vec<f64> {
        let mut gradient = vec![0.0; qkv.len()];
        self.each(|row, head, query| {
            let (seen, _) = self.row(qkv, row, head, query);
            let first = (row * self.seq + query) * self.embd() + head * self.head_dim;
            let upstream = &upstream[first..first + self.head_dim];
            let upstream: Vec<f64> = upstream.iter().map(|&value| f64::from(value)).collect();
            let part = |token: usize, part| self.part(qkv, row * self.seq + token, part, head);
            let place = |token: usize, part| {
                ((row * self.seq + token) * 3 + part) * self.embd() + head * self.head_dim
            };
            let changes: Vec<f64> = seen
                .iter()
                .enumerate()
                .map(|(key, [_, kept])| kept * dot(&upstream, &part(key, 2)))
                .collect();
            let mean: f64 = seen.iter().zip(&changes).map(|([p, _], change)| p * change).sum();
            for (key, ([p, kept], change)) in seen.iter().zip(&changes).enumerate() {
                let score = p * (change - mean) * f64::from(self.heads.factor);
                let mut give = |part, token, weight, values: &[f64]| {
                    let to = place(token, part);
                    add(&mut gradient[to..to + self.head_dim], weight, values);
                };
                give(0, query, score, &part(key, 1));
                give(1, key, score, &part(query, 0));
                give(2, key, p * kept, &upstream);
            }
        });
        gradient
    }

    fn each(self, mut with: impl FnMut(usize, usize, usize)) {
        for row in 0..self.batch {
            for head in 0..self.heads.count {
                (0..self.seq).for_each(|query| with(row, head, query));
            }
        }
    }
}

/// Probabilities, and the logarithm of the sum of exponentials.
pub fn softmax(scores: Vec<f64>) -> (Vec<f64>, f64) {
    let high = scores.iter().fold(f64::NEG_INFINITY, |high, &score| high.max(score));
    let total: f64 = scores.iter().map(|score| (score - high).exp()).sum();
    let logarithm = high + total.ln();
    (scores.iter().map(|score| (score - logarithm).exp()).collect(), logarithm)
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn add(to: &mut [f64], factor: f64, values: &[f64]) {
    to.iter_mut().zip(values).for_each(|(to, value)| *to += factor * value);
}
