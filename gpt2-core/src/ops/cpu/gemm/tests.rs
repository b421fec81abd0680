use rayon::ThreadPoolBuilder;

use super::{Into, Matrix, multiply, multiply_then};
use crate::ops::cpu::samples::numbers;

/// Extents that leave rests of every kind, one that needs several pieces of depth, and none at all.
const EXTENTS: [[usize; 3]; 8] = [
    [1, 1, 1],
    [7, 50, 3],
    [33, 97, 400],
    [130, 30, 1000],
    [9, 5, 1153],
    [300, 100, 3],
    [65, 257, 64],
    [3, 4, 0],
];

#[test]
fn a_product_is_the_sum_of_products_however_the_operands_lie() {
    for [rows, columns, depth] in EXTENTS {
        let (a, b) = (numbers(rows * depth, 1), numbers(depth * columns, 2));
        let (at, bt) = (turned(&a, rows, depth), turned(&b, depth, columns));
        let exact = |row: usize, column: usize| {
            let product = |at| f64::from(a[row * depth + at]) * f64::from(b[at * columns + column]);
            (0..depth).map(product).sum::<f64>()
        };
        let lefts = [Matrix::new(&a, rows, depth), Matrix::new(&at, depth, rows).transposed()];
        let rights =
            [Matrix::new(&b, depth, columns), Matrix::new(&bt, columns, depth).transposed()];
        for (left, right) in lefts.iter().flat_map(|left| rights.map(|right| (*left, right))) {
            let mut found = vec![1.0; rows * columns];
            multiply(left, right, &mut found, Into::Overwrite);
            multiply(left, right, &mut found, Into::Add);
            for (at, found) in found.into_iter().enumerate() {
                let exact = 2.0 * exact(at / columns, at % columns);
                // Rounding of sums of up to a thousand products of numbers below 1.
                assert!((f64::from(found) - exact).abs() < 5e-5, "{found} for {exact}");
            }
        }
    }
}

fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| values[row * columns + column]))
        .collect()
}

#[test]
fn rows_of_an_operand_may_lie_apart() {
    let (a, b) = (numbers(20 * 100, 3), numbers(40 * 30, 4));
    let part: Vec<f32> = a.chunks(100).flat_map(|row| &row[..40]).copied().collect();
    let [mut found, mut expected] = [(); 2].map(|()| vec![0.0; 20 * 30]);
    let b = Matrix::new(&b, 40, 30);
    multiply(Matrix::strided(&a[..1940], 20, 40, 100), b, &mut found, Into::Overwrite);
    multiply(Matrix::new(&part, 20, 40), b, &mut expected, Into::Overwrite);
    assert_eq!(found, expected);
}

#[test]
fn what_follows_sees_every_finished_number_once() {
    for [rows, columns, depth] in EXTENTS {
        let (a, b) = (numbers(rows * depth, 5), numbers(depth * columns, 6));
        let (a, b) = (Matrix::new(&a, rows, depth), Matrix::new(&b, depth, columns));
        let [mut found, mut expected] = [(); 2].map(|()| vec![0.0; rows * columns]);
        multiply_then(a, b, &mut found, Into::Overwrite, |row, first, piece| {
            for (at, number) in piece.iter_mut().enumerate() {
                *number += (row * columns + first + at) as f32;
            }
        });
        multiply(a, b, &mut expected, Into::Overwrite);
        expected.iter_mut().enumerate().for_each(|(at, number)| *number += at as f32);
        assert_eq!(found, expected);
    }
}

#[test]
fn a_product_does_not_depend_on_the_number_of_threads() {
    let (a, b) = (numbers(150 * 500, 7), numbers(500 * 410, 8));
    let (a, b) = (Matrix::new(&a, 150, 500), Matrix::new(&b, 500, 410));
    let product = || {
        let mut product = vec![0.0; 150 * 410];
        multiply(a, b, &mut product, Into::Overwrite);
        product
    };
    let alone = ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(product);
    for threads in [2, 3, 16] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(product), alone);
    }
}
