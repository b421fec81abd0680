//! Matrix products of any size.
#![allow(unsafe_code)]

/// A matrix that lies in memory somehow.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row by row.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { values, rows, columns, row_stride: columns, column_stride: 1 }
    }

    /// The other way round.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// What becomes of what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    /// It is overwritten.
    Overwrite,
    /// It is added to.
    Add,
}

/// `c = a @ b`, or `c += a @ b`.
pub fn multiply(a: Matrix<'_>, b: Matrix<'_>, c: &mut [f32], into: Into) {
    assert!(a.columns == b.rows && c.len() == a.rows * b.columns);
    assert!(a.values.len() >= a.rows * a.columns && b.values.len() >= b.rows * b.columns);
    let small = a.rows * a.columns * b.columns < 1 << 19;
    let parallelism = if small { gemm::Parallelism::None } else { gemm::Parallelism::Rayon(0) };
    // SAFETY: extents were checked.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            c.as_mut_ptr(),
            1,
            b.columns as isize,
            into == Into::Add,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// As [`multiply`], and then something with every row.
pub fn multiply_then(
    a: Matrix<'_>,
    b: Matrix<'_>,
    c: &mut [f32],
    into: Into,
    then: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    multiply(a, b, c, into);
    super::parallel::for_each_chunk(c, b.columns, |row, values| then(row, 0, values));
}
