//! Texts that go on, and rows of caches that change places.

use std::ops::Range;

use burn_cubecl::CubeDevice;

use super::reference::{add, dot, softmax};
use super::{assert_near, device, samples, tensor, values};
use crate::ops::cube::attention::{attend, move_rows};

pub const HEADS: usize = 2;
pub const FACTOR: f32 = 0.4;

/// Rows of a cache and new tokens for some of them.
pub struct Case<'a> {
    pub places: &'a [Range<usize>],
    pub seq: usize,
    pub capacity: usize,
    pub head_dim: usize,
}

impl Case<'_> {
    pub fn embd(&self) -> usize {
        HEADS * self.head_dim
    }

    /// Where a head's row of a place begins in a cache.
    fn at(&self, row: usize, head: usize, place: usize) -> usize {
        ((row * HEADS + head) * self.capacity + place) * self.head_dim
    }

    /// Writes keys (part 1) or values (part 2) of new tokens.
    fn write(&self, qkv: &[f32], part: usize, cache: &mut [f32]) {
        for (row, places) in self.places.iter().enumerate() {
            for (at, place) in places.clone().enumerate() {
                for head in 0..HEADS {
                    let to = self.at(row, head, place);
                    cache[to..to + self.head_dim]
                        .copy_from_slice(self.token(qkv, row, at, part, head));
                }
            }
        }
    }

    /// A head of query, key or value of a new token.
    fn token<'q>(
        &self,
        qkv: &'q [f32],
        row: usize,
        at: usize,
        part: usize,
        head: usize,
    ) -> &'q [f32] {
        let first = ((row * self.seq + at) * 3 + part) * self.embd() + head * self.head_dim;
        &qkv[first..first + self.head_dim]
    }

    pub fn expected(&self, qkv: &[f32], keys: &[f32], values: &[f32]) -> Vec<f64> {
        let wide = |numbers: &[f32]| numbers.iter().map(|&n| f64::from(n)).collect::<Vec<_>>();
        let mut output = vec![0.0; self.places.len() * self.seq * self.embd()];
        for (row, places) in self.places.iter().enumerate() {
            for (at, place) in places.clone().enumerate() {
                for head in 0..HEADS {
                    let part = |cache: &[f32], place| {
                        wide(&cache[self.at(row, head, place)..][..self.head_dim])
                    };
                    let query = wide(self.token(qkv, row, at, 0, head));
                    let scores =
                        (0..=place).map(|key| dot(&query, &part(keys, key)) * f64::from(FACTOR));
                    let to = (row * self.seq + at) * self.embd() + head * self.head_dim;
                    for (key, p) in softmax(scores.collect()).0.into_iter().enumerate() {
                        add(&mut output[to..to + self.head_dim], p, &part(values, key));
                    }
                }
            }
        }
        output
    }

    fn check(&self, device: &CubeDevice) {
        let what = format!("{:?} of {} numbers", self.places, self.head_dim);
        let rows = self.places.len();
        let qkv = samples(rows * self.seq * 3 * self.embd(), 3);
        // One row more than there are new tokens for.
        let shape = [rows + 1, HEADS, self.capacity, self.head_dim];
        let count = shape.iter().product();
        let [mut keys, mut kept] = [samples(count, 4), samples(count, 5)];
        let [old_keys, old_values] = [&keys, &kept].map(|cache| tensor(cache, shape, device));
        let given = tensor(&qkv, [rows, self.seq, 3 * self.embd()], device);
        let (output, new_keys, new_values) =
            attend(given, old_keys, old_values, self.places, FACTOR);
        self.write(&qkv, 1, &mut keys);
        self.write(&qkv, 2, &mut kept);
        assert_eq!(values(new_keys), keys, "{what}");
        assert_eq!(values(new_values), kept, "{what}");
        assert_near(&values(output), &self.expected(&qkv, &keys, &kept), 1e-5, &what);
    }
}

#[test]
fn one_new_token_sees_what_its_row_holds() {
    let Some(device) = device() else { return };
    for head_dim in [12, 25, 64] {
        let places = &[5..6, 0..1, 299..300, 64..64];
        Case { places, seq: 1, capacity: 301, head_dim }.check(&device);
    }
}

#[test]
fn one_new_token_of_many_rows_sees_what_its_row_holds() {
    let Some(device) = device() else { return };
    let places: Vec<_> = (0..50).map(|row| row..row + 1).collect();
    Case { places: &places, seq: 1, capacity: 64, head_dim: 4 }.check(&device);
}

#[test]
fn new_tokens_see_what_comes_before_them_in_their_row() {
    let Some(device) = device() else { return };
    for (seq, head_dim) in [(5, 12), (21, 12), (40, 64)] {
        let places = &[3..3 + seq, 0..seq - 2, 9..9, 70..71];
        Case { places, seq, capacity: 80, head_dim }.check(&device);
    }
}

#[test]
fn rows_may_all_go_on_at_one_place() {
    let Some(device) = device() else { return };
    for seq in [1, 3, 20] {
        Case { places: &[50..50 + seq, 50..50 + seq], seq, capacity: 70, head_dim: 12 }
            .check(&device);
    }
}

#[test]
fn a_cache_that_somebody_else_holds_is_left_alone() {
    let Some(device) = device() else { return };
    let before = samples(2 * HEADS * 8 * 4, 6);
    let keys = tensor(&before, [2, HEADS, 8, 4], &device);
    let qkv = tensor(&samples(2 * 3 * HEADS * 4, 7), [2, 1, 3 * HEADS * 4], &device);
    let (_, changed, _) = attend(qkv, keys.clone(), keys.clone(), &[1..2, 3..4], FACTOR);
    assert_eq!(values(keys), before);
    assert_ne!(values(changed), before);
}

#[test]
fn rows_move_as_if_all_were_taken_out_first() {
    let Some(device) = device() else { return };
    let (rows, capacity, head_dim) = (6, 7, 6);
    let size = HEADS * capacity * head_dim;
    let before = samples(rows * size, 8);
    for (from, first, filled) in [
        (vec![2, 1, 0], 0, 5),
        (vec![0, 0, 3], 1, 7),
        (vec![1, 2], 1, 3),
        (vec![5, 4], 4, 1),
        (vec![3], 0, 0),
    ] {
        let mut expected = before.clone();
        for (at, &row) in from.iter().enumerate() {
            for head in 0..HEADS {
                let place = |row: usize| (row * HEADS + head) * capacity * head_dim;
                let moved = &before[place(row)..][..filled * head_dim];
                expected[place(first + at)..][..filled * head_dim].copy_from_slice(moved);
            }
        }
        let cache = tensor(&before, [rows, HEADS, capacity, head_dim], &device);
        assert_eq!(values(move_rows(cache, &from, first, filled)), expected, "{from:?}");
    }
}
