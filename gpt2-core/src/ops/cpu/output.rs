//! A result that several tasks write at once.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

/// A matrix, row behind row, which is given out in pieces of rows.
pub(super) struct Output<'a> {
    values: *mut f32,
    len: usize,
    columns: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` whose disjoint parts are used by different threads.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    pub fn new(values: &'a mut [f32], columns: usize) -> Self {
        Self { values: values.as_mut_ptr(), len: values.len(), columns, matrix: PhantomData }
    }

    /// A piece of a row.
    ///
    /// The parent module divides the matrix into rectangles and gives each to one task, which asks for
    /// one piece at a time.
    #[allow(clippy::mut_from_ref)]
    #[inline(always)]
    pub fn row(&self, row: usize, columns: Range<usize>) -> &'a mut [f32] {
        let start = row * self.columns + columns.start;
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        assert!(start + columns.len() <= self.len);
        // SAFETY: it lies in the matrix, as was just seen, and nobody else has this piece.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(start), columns.len()) }
    }
}
