//! Choices of tokens against those of the host, in f64.

use burn::tensor::DType;
use burn_cubecl::CubeDevice;

use super::{device, floats, rounded, tensor, values};
use crate::ops::cube::sample::{greedy, sample};
use crate::ops::sample::{EXCLUDED_ALL, NOT_FINITE, SampleOptions};

/// One token, a few, more than a cube of some devices has units, and GPT-2's.
const VOCABULARIES: [usize; 4] = [1, 5, 257, 50_257];
const EXCLUDED: f64 = f64::NEG_INFINITY;
/// What a number, or the sum of top-p, may be off by before another token is right.
const ROUNDING: f64 = 2e-6;

/// Logits as those of a model: most are unlikely, and a few stand out.
fn logits(count: usize, seed: u64, dtype: DType) -> Vec<f64> {
    let number = |at: usize| {
        let bits = (at as u64 + 1 + seed * 7_919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        bits as f64 / f64::from(1 << 24)
    };
    rounded((0..count).map(|at| -40.0 - 2.5 * number(at).max(1e-9).ln()).collect(), dtype)
}

/// Ids and what is told of rows of logits, one behind the other.
fn told(
    rows: &[Vec<f64>],
    numbers: Option<&[f64]>,
    options: SampleOptions,
    dtype: DType,
    device: &CubeDevice,
) -> Vec<i32> {
    let shape = [rows.len(), rows[0].len()];
    let logits = tensor(&rows.concat(), &shape, dtype, device);
    let (ids, told) = match numbers {
        Some(numbers) => {
            sample(logits, tensor(numbers, &[rows.len()], DType::F32, device), options)
        }
        None => greedy(logits),
    };
    let [ids, told] = [ids, told].map(|found| values(found).iter().map(|&id| id as i32).collect());
    let (ids, told): (Vec<i32>, Vec<i32>) = (ids, told);
    for (id, told) in ids.iter().zip(&told) {
        assert_eq!(*id, (*told).max(0), "the next pass reads an id in any case");
    }
    told
}

/// The weights of the tokens that the options keep, by id.
fn weights(logits: &[f64], options: SampleOptions) -> Vec<f64> {
    let best = logits.iter().copied().fold(EXCLUDED, f64::max);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(b.cmp(&a)));
    let last = options.top_k.map_or(EXCLUDED, |k| logits[order[k.min(order.len()) - 1]]);
    let weight = |score: f64| ((score - best) / f64::from(options.temperature)).exp();
    let mut weights: Vec<f64> =
        logits.iter().map(|&score| if score < last { 0.0 } else { weight(score) }).collect();
    if let Some(top_p) = options.top_p {
        let enough = top_p * weights.iter().sum::<f64>();
        let mut sum = 0.0;
        for id in order {
            let own = weights[id];
            weights[id] = if sum >= enough { 0.0 } else { own };
            sum += own;
        }
    }
    weights
}

/// The token that a number draws.
fn drawn(weights: &[f64], number: f64) -> i32 {
    let mut left = number.clamp(0.0, 1.0) * weights.iter().sum::<f64>();
    for (id, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return id as i32;
        }
    }
    weights.iter().rposition(|weight| *weight > 0.0).unwrap() as i32
}

/// Whether a token is right but for the last bits: kept, and between those that are drawn by numbers nearby.
fn is_right(found: i32, logits: &[f64], number: f64, options: SampleOptions) -> bool {
    let off = [-ROUNDING, 0.0, ROUNDING];
    let sums = off.map(|off| options.top_p.map(|top_p| (top_p + off).max(1e-15)));
    sums.iter().any(|&top_p| {
        let kept = weights(logits, SampleOptions { top_p, ..options });
        let around = off.map(|off| drawn(&kept, number + off));
        kept[found as usize] > 0.0 && (around[0]..=around[2]).contains(&found)
    })
}

/// Numbers of draws, the extremes among them.
fn numbers(count: usize) -> Vec<f64> {
    let number = |at: usize| f64::from(((at as f64 * 0.618_034).fract()) as f32);
    let mut numbers: Vec<f64> = (0..count).map(number).collect();
    numbers[count - 1] = f64::from(1.0f32.next_down());
    numbers
}

#[test]
fn the_lowest_id_of_the_highest_logit_is_chosen() {
    let Some(device) = device() else { return };
    for dtype in floats(&device) {
        for vocab in VOCABULARIES {
            let mut rows: Vec<Vec<f64>> = (0..3).map(|seed| logits(vocab, seed, dtype)).collect();
            // Two that are equal, at the ends of the row; two zeros above all others.
            rows.push(logits(vocab, 7, dtype));
            (rows[3][0], rows[3][vocab - 1]) = (9.0, 9.0);
            rows.push(logits(vocab, 8, dtype).iter().map(|score| score - 100.0).collect());
            (rows[4][vocab / 2], rows[4][vocab - 1]) = (-0.0, 0.0);
            let first = |row: &Vec<f64>| {
                let best = row.iter().copied().fold(EXCLUDED, f64::max);
                row.iter().position(|&score| score == best).unwrap() as i32
            };
            let expected: Vec<i32> = rows.iter().map(first).collect();
            let found = told(&rows, None, SampleOptions::default(), dtype, &device);
            assert_eq!(found, expected, "{vocab} {dtype:?}");
        }
    }
}

#[test]
fn draws_are_those_of_the_host() {
    let Some(device) = device() else { return };
    let plain = SampleOptions::default();
    let cases = [
        plain,
        SampleOptions { temperature: 0.7, ..plain },
        SampleOptions { top_k: Some(1), ..plain },
        SampleOptions { top_k: Some(50), ..plain },
        SampleOptions { top_k: Some(60_000), ..plain },
        SampleOptions { top_p: Some(0.9), ..plain },
        SampleOptions { top_p: Some(1e-12), ..plain },
        SampleOptions { top_p: Some(0.999_999), temperature: 1.5, ..plain },
        SampleOptions { temperature: 1.3, top_k: Some(40), top_p: Some(0.6) },
    ];
    for dtype in floats(&device) {
        for vocab in VOCABULARIES {
            let count = if vocab > 1000 { 6 } else { 40 };
            let mut rows: Vec<Vec<f64>> =
                (0..count).map(|seed| logits(vocab, seed, dtype)).collect();
            // Half of the tokens are excluded.
            rows[1].iter_mut().skip(1).step_by(2).for_each(|score| *score = EXCLUDED);
            let numbers = numbers(rows.len());
            for options in cases {
                let found = told(&rows, Some(&numbers), options, dtype, &device);
                if vocab < 1000 {
                    let again = told(&rows, Some(&numbers), options, dtype, &device);
                    assert_eq!(found, again, "the same input gives the same ids");
                }
                for ((row, &number), found) in rows.iter().zip(&numbers).zip(found) {
                    let right = drawn(&weights(row, options), number);
                    let context = format!("{vocab} {dtype:?} {number} {options:?}");
                    let is_right = is_right(found, row, number, options);
                    assert!(is_right, "{context}: {found} and not {right}");
                }
            }
        }
    }
}

/// The ids that are drawn by numbers from 0 to 1 in small steps.
fn reached(row: &[f64], options: SampleOptions, device: &CubeDevice) -> Vec<i32> {
    let steps = 64;
    let numbers: Vec<f64> = (0..steps).map(|at| f64::from(at) / f64::from(steps)).collect();
    let rows = vec![row.to_vec(); numbers.len()];
    let mut ids = told(&rows, Some(&numbers), options, DType::F32, device);
    assert!(ids.is_sorted(), "draws go through the ids in their order");
    ids.dedup();
    ids
}

#[test]
fn all_that_equal_the_last_of_the_highest_are_kept() {
    let Some(device) = device() else { return };
    let top = |k| SampleOptions { top_k: Some(k), ..SampleOptions::default() };
    let row = [2.0, 1.0, 1.0, 0.0, 1.0, -0.0];
    assert_eq!(reached(&row, top(1), &device), [0]);
    assert_eq!(reached(&row, top(2), &device), [0, 1, 2, 4]);
    assert_eq!(reached(&row, top(5), &device), [0, 1, 2, 3, 4, 5]);
    let excluded = [EXCLUDED, 1.0, EXCLUDED, 2.0, EXCLUDED];
    assert_eq!(reached(&excluded, top(4), &device), [1, 3]);
}

#[test]
fn of_equally_likely_tokens_the_highest_ids_reach_the_sum() {
    let Some(device) = device() else { return };
    let top = |p| SampleOptions { top_p: Some(p), ..SampleOptions::default() };
    assert_eq!(reached(&[0.5; 4], top(0.6), &device), [1, 2, 3]);
    assert_eq!(reached(&[0.5; 4], top(0.5), &device), [2, 3]);
    assert_eq!(reached(&[0.5; 4], top(0.01), &device), [3]);
    let row: Vec<f64> = [0.1f64, 0.5, 0.25, 0.15].map(f64::ln).to_vec();
    assert_eq!(reached(&row, top(0.4), &device), [1]);
    assert_eq!(reached(&row, top(0.7), &device), [1, 2]);
    assert_eq!(reached(&row, top(0.8), &device), [1, 2, 3]);
    // The tie is behind one that is likelier: 0.4 and two of three times 0.2.
    let row: Vec<f64> = [0.2f64, 0.4, 0.2, 0.2].map(f64::ln).to_vec();
    assert_eq!(reached(&row, top(0.7), &device), [1, 2, 3]);
    let both = SampleOptions { top_k: Some(2), ..top(0.65) };
    // Of the four that are left, 0.4 and 0.2 are 0.6 of the sum, and another 0.2 is needed.
    assert_eq!(reached(&row, both, &device), [1, 2, 3]);
}

#[test]
fn among_many_ties_the_last_ones_are_found() {
    let Some(device) = device() else { return };
    let vocab = 50_257;
    let kept = 777;
    let top_p = Some((kept as f64 - 0.5) / vocab as f64);
    let options = SampleOptions { top_p, ..SampleOptions::default() };
    let numbers = [0.0, 0.5, f64::from(1.0f32.next_down())];
    let found = told(&vec![vec![-3.25; vocab]; 3], Some(&numbers), options, DType::F32, &device);
    assert_eq!(found, [vocab - kept, vocab - kept / 2 - 1, vocab - 1].map(|id| id as i32));
}

#[test]
fn a_row_without_a_choice_says_why_and_its_neighbours_have_theirs() {
    let Some(device) = device() else { return };
    let vocab = 300;
    let good = logits(vocab, 1, DType::F32);
    let with = |score: f64| {
        let mut row = good.clone();
        row[211] = score;
        row
    };
    let rows = [
        with(f64::NAN),
        good.clone(),
        with(f64::INFINITY),
        vec![EXCLUDED; vocab],
        with(-f64::NAN),
        good.clone(),
    ];
    let best = drawn(&weights(&good, SampleOptions { top_k: Some(1), ..Default::default() }), 0.0);
    let expected = [NOT_FINITE, best, NOT_FINITE, EXCLUDED_ALL, NOT_FINITE, best];
    let plain = SampleOptions::default();
    assert_eq!(told(&rows, None, plain, DType::F32, &device), expected);
    for options in [
        plain,
        SampleOptions { top_k: Some(3), top_p: Some(0.5), ..plain },
        SampleOptions { temperature: 0.5, ..plain },
    ] {
        let numbers = [0.3; 6];
        let found = told(&rows, Some(&numbers), options, DType::F32, &device);
        let id = drawn(&weights(&good, options), 0.3);
        assert_eq!(found, expected.map(|told| if told >= 0 { id } else { told }));
    }
    // What a temperature makes infinite is not finite either.
    let cold = SampleOptions { temperature: 1e-37, ..plain };
    let rows = [vec![1e3, 2e3], vec![-1e3, -2e3], vec![0.0, 1.0]];
    let found = told(&rows, Some(&[0.0; 3]), cold, DType::F32, &device);
    assert_eq!(found, [NOT_FINITE, EXCLUDED_ALL, 1]);
}

#[test]
fn draws_follow_the_distribution() {
    let Some(device) = device() else { return };
    const DRAWS: usize = 70_001;
    let probabilities: [f64; 5] = [0.4, 0.3, 0.2, 0.07, 0.03];
    let row: Vec<f64> = probabilities.iter().map(|p| p.ln() + 3.0).collect();
    let number = |at: usize| {
        let bits = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 32)) >> 40) as f64 / f64::from(1 << 24)
    };
    let numbers: Vec<f64> = (0..DRAWS).map(number).collect();
    // More rows than a launch has cubes along an axis.
    let rows = vec![row; DRAWS];
    let found = told(&rows, Some(&numbers), SampleOptions::default(), DType::F32, &device);
    let statistic = |expected: &[f64]| -> f64 {
        let term = |(id, p): (usize, &f64)| {
            let count = found.iter().filter(|&&found| found == id as i32).count() as f64;
            let mean = p * DRAWS as f64;
            (count - mean) * (count - mean) / mean
        };
        expected.iter().enumerate().map(term).sum()
    };
    // Exceeded with probability 0.001 by a chi-square of 4 degrees of freedom.
    assert!(statistic(&probabilities) < 18.47, "{}", statistic(&probabilities));
    assert!(statistic(&[0.38, 0.32, 0.2, 0.07, 0.03]) > 18.47, "another one is noticed");
}
