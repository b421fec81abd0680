//! Products with weights in fewer bits.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};

use super::{assert_same, device, ids, numbers, tensor};
use crate::ops::words::WordOps;
use crate::quantize::{CompactFormat, CompactMatrix, DepthAxis, IntFormat, WordShape};

const FORMATS: [CompactFormat; 3] =
    [CompactFormat::Int(IntFormat::Int8), CompactFormat::Int(IntFormat::Int4), CompactFormat::Bf16];
/// Depth and columns: one word, a group and a part of one, columns that fill no vector, many columns.
const SIZES: [[usize; 2]; 5] = [[8, 1], [136, 7], [768, 96], [40, 6_403], [264, 64]];

struct Subject {
    words: CubeTensor,
    scales: CubeTensor,
    shape: WordShape,
    /// `[depth, columns]`.
    values: Vec<f64>,
}

/// A weight with numbers that are about as large as those that training leaves.
fn subject(format: CompactFormat, extents: [usize; 2], device: &CubeDevice) -> Subject {
    let given: Vec<f32> =
        numbers(extents[0] * extents[1], 3, DType::F32).iter().map(|x| *x as f32 * 0.1).collect();
    let matrix = format.apply(&given, extents, DepthAxis::First).unwrap();
    let found = matrix.to_words();
    let words: Vec<usize> = found.words.iter().map(|&word| word as usize).collect();
    let scales: Vec<f64> = found.scales.iter().map(|&scale| f64::from(scale)).collect();
    Subject {
        words: ids(&words, &[words.len()], device),
        scales: tensor(&scales, &[scales.len()], DType::F32, device),
        shape: found.shape,
        values: floats(&matrix),
    }
}

fn floats(matrix: &CompactMatrix) -> Vec<f64> {
    matrix.to_values().iter().map(|&value| f64::from(value)).collect()
}

/// `x @ weight`.
fn product(x: &[f64], weight: &[f64], [depth, columns]: [usize; 2]) -> Vec<f64> {
    let of = |row: &[f64], column: usize| -> f64 {
        row.iter().enumerate().map(|(at, x)| x * weight[at * columns + column]).sum()
    };
    x.chunks(depth).flat_map(|row| (0..columns).map(move |column| of(row, column))).collect()
}

fn gelu(x: f64) -> f64 {
    x / 2.0 * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

#[test]
fn products_of_any_number_of_rows_are_those_of_the_floats() {
    let Some(device) = device() else { return };
    for format in FORMATS {
        for [depth, columns] in SIZES {
            let Subject { words, scales, shape, values } =
                subject(format, [depth, columns], &device);
            // One row, parts of a tile, two tiles of which one is not full, and so many that floats are made.
            for rows in [1, 3, 8, 13, 40] {
                let x = numbers(rows * depth, 5, DType::F32);
                let expected = product(&x, &values, [depth, columns]);
                let x = tensor(&x, &[1, rows, depth], DType::F32, &device);
                let found = CubeBackend::word_product(x, words.clone(), scales.clone(), shape);
                let context = format!("{format:?}, {rows} x {depth} x {columns}");
                // Above a tile the product may be one of bf16.
                let tolerant = rows > 32 && format == CompactFormat::Bf16;
                match tolerant {
                    true => super::assert_near(found, &expected, 8e-3, &context),
                    false => assert_same(found, &expected, &context),
                }
            }
        }
    }
}

#[test]
fn what_follows_a_product_is_done() {
    let Some(device) = device() else { return };
    for rows in [2, 40] {
        for (format, [depth, columns]) in FORMATS.into_iter().zip([[136, 7], [64, 96], [10, 31]]) {
            let Subject { words, scales, shape, values } =
                subject(format, [depth, columns], &device);
            let [x, bias, residual] = [(rows * depth, 5), (columns, 6), (rows * columns, 7)]
                .map(|(count, seed)| numbers(count, seed, DType::F32));
            let sums: Vec<f64> = product(&x, &values, [depth, columns])
                .iter()
                .enumerate()
                .map(|(at, sum)| sum + bias[at % columns])
                .collect();
            let given = || {
                (
                    tensor(&x, &[rows, 1, depth], DType::F32, &device),
                    words.clone(),
                    scales.clone(),
                    tensor(&bias, &[columns], DType::F32, &device),
                )
            };
            let check = |found, expected: &[f64], what: &str| {
                let allowed = if rows > 32 && format == CompactFormat::Bf16 { 8e-3 } else { 1e-5 };
                super::assert_near(
                    found,
                    expected,
                    allowed,
                    &format!("{what}, {format:?}, {rows}"),
                );
            };
            let (a, b, c, d) = given();
            check(CubeBackend::word_linear(a, b, c, d, shape), &sums, "bias");
            let (a, b, c, d) = given();
            let activated: Vec<f64> = sums.iter().map(|&sum| gelu(sum)).collect();
            check(CubeBackend::word_gelu(a, b, c, d, shape), &activated, "gelu");
            let (a, b, c, d) = given();
            let stream = tensor(&residual, &[rows, 1, columns], DType::F32, &device);
            let joined: Vec<f64> = sums.iter().zip(&residual).map(|(a, b)| a + b).collect();
            check(CubeBackend::word_residual(a, b, c, d, stream, shape), &joined, "residual");
        }
    }
}

#[test]
fn rows_of_a_table_and_the_whole_of_it_are_the_floats() {
    let Some(device) = device() else { return };
    for format in FORMATS {
        let [depth, columns] = [136, 37];
        let Subject { words, scales, shape, values } = subject(format, [depth, columns], &device);
        let row = |id: usize| (0..depth).map(move |at| (at, id)).collect::<Vec<_>>();
        let wanted = [36, 0, 5, 5, 17, 3];
        let expected: Vec<f64> = wanted
            .iter()
            .flat_map(|&id| row(id))
            .map(|(at, id)| values[at * columns + id])
            .collect();
        let places = ids(&wanted, &[2, 3], &device);
        let found = CubeBackend::word_rows(places, words.clone(), scales.clone(), shape);
        assert_same(found, &expected, &format!("{format:?}"));

        let expected: Vec<f64> =
            (0..columns).flat_map(row).map(|(at, id)| values[at * columns + id]).collect();
        assert_same(
            CubeBackend::word_table(words, scales, shape),
            &expected,
            &format!("{format:?}"),
        );
    }
}
