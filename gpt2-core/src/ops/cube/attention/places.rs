//! Where the new tokens of a cache's rows are.

use std::ops::Range;

use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::launch::pairs;

/// First place and number of the new tokens of each row.
#[derive(Clone)]
pub(super) struct Places {
    past: usize,
    count: usize,
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

    /// As kernels take them.
    pub fn argument(&self) -> RowPlacesLaunch {
        let each = self.each.clone().map(CubeTensor::into_buffer_arg);
        RowPlacesLaunch::new(each.into(), self.past, self.count)
    }
}

/// [`Places`] in a kernel.
#[derive(CubeType, CubeLaunch)]
pub(super) struct RowPlaces {
    each: ComptimeOption<Box<[u32]>>,
    past: usize,
    count: usize,
}

#[cube]
impl RowPlaces {
    /// First place and number of the new tokens of a row.
    pub fn of_row(&self, row: usize) -> (usize, usize) {
        #[comptime]
        match &self.each {
            ComptimeOption::Some(each) => (each[row * 2] as usize, each[row * 2 + 1] as usize),
            ComptimeOption::None => (self.past, self.count),
        }
    }
}
