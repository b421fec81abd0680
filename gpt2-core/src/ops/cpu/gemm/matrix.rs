//! A matrix where it lies.

/// Numbers of which one axis lies side by side in memory.
#[derive(Debug, Clone, Copy)]
pub(in crate::ops) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row behind row.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// Rows that begin `stride` apart.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows * columns == 0 { 0 } else { (rows - 1) * stride + columns };
        Self { values: &values[..end], rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Columns as rows.
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
