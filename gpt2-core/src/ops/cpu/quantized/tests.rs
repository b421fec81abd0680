//! Every level gives the bits that the definition gives.

use super::super::level::Level;
use super::{half, product_at};
use crate::quantize::{DepthAxis, HalfMatrix, IntFormat, QuantizedMatrix};

/// Numbers between -1 and 1 that repeat after a long while.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The product, number by number, in the order that the kernels have to keep.
fn defined(x: &[f32], depth: usize, matrix: &QuantizedMatrix, bias: Option<&[f32]>) -> Vec<f32> {
    let packed = matrix.packed();
    let mut output = Vec::new();
    for x in x.chunks(depth) {
        for column in 0..packed.shape.columns {
            let mut sum = bias.map_or(0.0, |bias| bias[column]);
            for (group, x) in x.chunks(matrix.format().group_size()).enumerate() {
                let largest = x.iter().fold(0f32, |largest, v| largest.max(v.abs()));
                let inverse = if largest == 0.0 { 0.0 } else { 127.0 / largest };
                let (weights, scale) = packed.read(column, group);
                let whole: i32 = weights
                    .zip(x)
                    .map(|(w, x)| i32::from(w) * (x * inverse).round_ties_even() as i32)
                    .sum();
                sum += whole as f32 * scale.to_f32() * (largest / 127.0);
            }
            output.push(sum);
        }
    }
    output
}

/// One row and many, widths and depths that fill no vector, group, panel or block of rows.
const SHAPES: [(usize, usize, usize); 8] = [
    (1, 64, 64),
    (1, 300, 130),
    (2, 5, 1),
    (3, 96, 64),
    (7, 44, 100),
    (13, 1, 9),
    (101, 72, 70),
    (9, 256, 1024),
];

#[test]
fn every_level_gives_the_bits_of_the_definition() {
    for format in [IntFormat::Int8, IntFormat::Int4] {
        for (rows, depth, columns) in SHAPES {
            let weights = numbers(depth * columns, 1);
            let matrix =
                QuantizedMatrix::from_values(&weights, [depth, columns], DepthAxis::First, format);
            let (matrix, bias) = (matrix.unwrap(), numbers(columns, 2));
            let mut x = numbers(rows * depth, 3);
            // A channel as GPT-2 has them, and a row of zeros.
            x.iter_mut().step_by(depth).for_each(|outlier| *outlier *= 200.0);
            x[..depth].fill(0.0);
            for bias in [Some(&bias[..]), None] {
                let expected = defined(&x, depth, &matrix, bias);
                for level in Level::available() {
                    let mut found = vec![f32::NAN; rows * columns];
                    product_at(level, &x, rows, matrix.packed(), bias, &mut found, |_, _, _| ());
                    let bits =
                        |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    let what = (level, format, rows, depth, columns);
                    assert_eq!(bits(&found), bits(&expected), "{what:?}");
                }
            }
        }
    }
}

#[test]
fn nan_and_infinity_come_through() {
    let weights = numbers(64 * 64, 4);
    let matrix =
        QuantizedMatrix::from_values(&weights, [64, 64], DepthAxis::First, IntFormat::Int8);
    for wrong in [f32::NAN, f32::INFINITY] {
        let mut x = numbers(2 * 64, 5);
        x[3] = wrong;
        for level in Level::available() {
            let packed = matrix.as_ref().unwrap().packed();
            let mut found = vec![0.0; 2 * 64];
            product_at(level, &x, 2, packed, None, &mut found, |_, _, _| ());
            assert!(found[..64].iter().all(|v| !v.is_finite()), "{level:?}");
            assert!(found[64..].iter().all(|v| v.is_finite()), "{level:?}");
        }
    }
}

#[test]
fn weights_in_bf16_are_multiplied_in_f32_at_every_level() {
    for (rows, depth, columns) in SHAPES {
        let (x, bias) = (numbers(rows * depth, 6), numbers(columns, 7));
        let shape = [depth, columns];
        let matrix =
            HalfMatrix::from_values(&numbers(depth * columns, 8), shape, DepthAxis::First).unwrap();
        let weights = matrix.to_values();
        for level in Level::available() {
            let mut found = vec![f32::NAN; rows * columns];
            half::product_at(level, &x, rows, &matrix, Some(&bias), &mut found, |_, _, _| ());
            for (at, found) in found.into_iter().enumerate() {
                let (row, column) = (at / columns, at % columns);
                let products = (0..depth).map(|k| {
                    f64::from(x[row * depth + k]) * f64::from(weights[k * columns + column])
                });
                let expected = products.sum::<f64>() + f64::from(bias[column]);
                let error = (f64::from(found) - expected).abs();
                assert!(error < 2e-5, "{level:?} {rows}x{depth}x{columns}: {error}");
            }
        }
    }
}
