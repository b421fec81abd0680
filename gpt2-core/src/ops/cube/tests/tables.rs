//! What is done to the rows of tables, and many rows.

use burn::tensor::DType;

use super::{assert_same, device, for_each, ids, numbers, tensor, values};
use crate::ops::cube::{embedding, moments, scatter};

#[test]
fn embeddings_are_sums_of_rows() {
    for_each(|[rows, columns], dtype, device, context| {
        let (vocab, batch) = (50, 3);
        let tokens = numbers(vocab * columns, 1, dtype);
        let positions = numbers(rows * columns, 2, dtype);
        let id = |at: usize| (at * at * 7 + at / 3) % vocab;
        let given: Vec<usize> = (0..batch * rows).map(id).collect();
        for place_rows in [1, batch] {
            let places: Vec<usize> = (0..place_rows * rows).map(|at| at * 5 % rows).collect();
            let sum = |at: usize| {
                let (row, column) = (at / columns, at % columns);
                tokens[given[row] * columns + column]
                    + positions[places[row % places.len()] * columns + column]
            };
            let expected: Vec<f64> = (0..batch * rows * columns).map(sum).collect();
            let found = embedding::embeddings(
                tensor(&tokens, &[vocab, columns], dtype, device),
                tensor(&positions, &[rows, columns], dtype, device),
                ids(&given, &[batch, rows], device),
                ids(&places, &[place_rows, rows], device),
            );
            assert_eq!(found.meta.shape().to_vec(), [batch, rows, columns]);
            assert_same(found, &expected, context);
        }
    });
}

#[test]
fn rows_are_added_to_a_table_however_often_an_index_comes() {
    for_each(|[rows, columns], dtype, device, context| {
        let (vocab, batch) = (50, 2);
        let upstream = numbers(batch * rows * columns, 1, dtype);
        let start = numbers(vocab * columns, 2, dtype);
        let most = |at: usize| if at.is_multiple_of(3) { 7 } else { at * 11 % vocab };
        let all: Vec<usize> = (0..batch * rows).map(most).collect();
        let one: Vec<usize> = (0..rows).map(|at| at % vocab).collect();
        for (given, shape) in [(&all, [batch, rows]), (&one, [1, rows])] {
            for table in [None, Some(&start)] {
                let mut expected = table.cloned().unwrap_or(vec![0.0; vocab * columns]);
                for (at, value) in upstream.iter().enumerate() {
                    let row = given[at / columns % given.len()];
                    expected[row * columns + at % columns] += value;
                }
                let run = || {
                    let table = table.map(|table| tensor(table, &[vocab, columns], dtype, device));
                    let upstream = tensor(&upstream, &[batch, rows, columns], dtype, device);
                    scatter::scatter_add(table, vocab, ids(given, &shape, device), upstream)
                };
                let found = run();
                assert_eq!(values(found.clone()), values(run()), "{context}: the order is fixed");
                assert_same(found, &expected, context);
            }
        }
    });
}

#[test]
fn a_table_with_another_owner_stays_as_it_is() {
    let Some(device) = device() else { return };
    let table = tensor(&[1.0, 2.0], &[2, 1], DType::F32, &device);
    let upstream = tensor(&[5.0, 7.0], &[2, 1], DType::F32, &device);
    let found = scatter::scatter_add(Some(table.clone()), 2, ids(&[1, 1], &[2], &device), upstream);
    assert_eq!(values(found), [1.0, 14.0]);
    assert_eq!(values(table.clone()), [1.0, 2.0]);
    let sum = moments::add_scaled(table.clone(), table.clone(), 0.5);
    assert_eq!(values(sum), [1.5, 3.0]);
    assert_eq!(values(table), [1.0, 2.0]);
}

/// One axis would be too short for a cube a row.
#[test]
fn more_rows_are_added_than_a_launch_has_cubes_along_an_axis() {
    let Some(device) = device() else { return };
    let (rows, columns) = (70_001, 3);
    let x = numbers(rows * columns, 1, DType::F32);
    // A permutation: 3 does not divide 70,001.
    let order: Vec<usize> = (0..rows).map(|at| at * 3 % rows).collect();
    let mut expected = vec![0.0; rows * columns];
    for (row, values) in order.iter().zip(x.chunks(columns)) {
        expected[row * columns..][..columns].copy_from_slice(values);
    }
    let upstream = tensor(&x, &[rows, columns], DType::F32, &device);
    let found = scatter::scatter_add(None, rows, ids(&order, &[rows], &device), upstream);
    assert_eq!(values(found), expected);
}
