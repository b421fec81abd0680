//! Where the new tokens of a cache's rows are.

use std::ops::Range;

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::pairs;

/// First place and number of the new tokens of each row.
#[derive(Clone)]
pub(super) struct Places {
    pub past: usize,
    pub count: usize,
    /// Those of each row, `[rows, 2]`, where they differ.
    each: Option<CubeTensor>,
}

impl Places {
    /// The same for all rows.
    pub fn same(past: usize, count: usize) -> Self {
        Self { past, count, each: None }
    }

    /// On the device of a tensor; nothing goes there where all rows have the same.
    pub fn new(like: &CubeTensor, places: &[Range<usize>]) -> Self {
        match places {
            [] => Self::same(0, 0),
            [first, others @ ..] if others.iter().all(|other| other == first) => {
                Self::same(first.start, first.len())
            }
            _ => {
                let all = places.iter().map(|places| [places.start, places.len()]);
                Self { past: 0, count: 0, each: Some(pairs(like, all)) }
            }
        }
    }

    /// Those of each row, as a kernel takes them.
    pub fn each(&self) -> ComptimeOptionArgs<&'static [u32]> {
        self.each.clone().map(CubeTensor::into_buffer_arg).into()
    }
}

/// First place and number of the new tokens of a row: `same`, where all rows have the same.
#[cube]
pub(super) fn of_row(
    each: &ComptimeOption<&[u32]>,
    same: (usize, usize),
    row: usize,
) -> (usize, usize) {
    #[comptime]
    match each {
        ComptimeOption::Some(each) => (each[row * 2] as usize, each[row * 2 + 1] as usize),
        ComptimeOption::None => same,
    }
}
