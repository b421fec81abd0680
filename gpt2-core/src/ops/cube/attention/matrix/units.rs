//! Products of matrices by the units of a device that multiply pieces of them.

use cubecl::prelude::*;

/// Rows and columns of a piece.
pub const PIECE: usize = 16;
/// Units of a plane, which multiplies pieces together.
pub const PLANE: usize = 32;

/// Products of 16 rows with as many columns as there are sums of pieces; each plane has its own.
#[cube]
pub trait Products: 'static + Send + Sync {
    /// A piece of 16 by 16 numbers in `f32`, somewhere in the plane.
    type Sum: CubeType;

    /// Sums of nothing yet.
    fn none(#[comptime] count: usize) -> Sequence<Self::Sum>;

    /// Adds `left @ right`, or `left @ right^T` where the right matrix is `turned`.
    ///
    /// Both lie in shared memory, a row every so many numbers; `depth` is how many are multiplied for each result.
    fn add<E: Float, L: Size, R: Size>(
        sums: &mut Sequence<Self::Sum>,
        left: &[Vector<E, L>],
        #[comptime] left_stride: usize,
        right: &[Vector<E, R>],
        #[comptime] right_stride: usize,
        #[comptime] depth: usize,
        #[comptime] turned: bool,
    );

    /// Writes the sums side by side, a row every `stride` numbers.
    fn store(
        sums: &Sequence<Self::Sum>,
        to: &mut [Vector<f32, Const<4>>],
        #[comptime] stride: usize,
    );
}

/// The matrix units of a GPU.
pub struct MatrixUnits;

#[cube]
impl Products for MatrixUnits {
    type Sum = cmma::Matrix<f32>;

    fn none(#[comptime] count: usize) -> Sequence<Self::Sum> {
        let mut sums = Sequence::<Self::Sum>::new();
        #[unroll]
        for _ in 0..count {
            sums.push(cmma::Matrix::<f32>::from_value(
                cmma::MatrixIdent::Accumulator,
                PIECE,
                PIECE,
                PIECE,
                cmma::MatrixLayout::Undefined,
                0.0f32,
            ));
        }
        sums
    }

    fn add<E: Float, L: Size, R: Size>(
        sums: &mut Sequence<Self::Sum>,
        left: &[Vector<E, L>],
        #[comptime] left_stride: usize,
        right: &[Vector<E, R>],
        #[comptime] right_stride: usize,
        #[comptime] depth: usize,
        #[comptime] turned: bool,
    ) {
        let count = sums.len();
        let left_size = L::value();
        let right_size = R::value();
        let layout = comptime!(if turned {
            cmma::MatrixLayout::ColMajor
        } else {
            cmma::MatrixLayout::RowMajor
        });
        #[unroll]
        for k in 0..comptime!(depth / PIECE) {
            let rows = cmma::Matrix::<Vector<E, L>>::from_slice(
                cmma::MatrixIdent::A,
                PIECE,
                PIECE,
                PIECE,
                cmma::MatrixLayout::RowMajor,
                &left[comptime!(k * PIECE / left_size)..],
                comptime!(left_stride as u32),
            );
            #[unroll]
            for n in 0..count {
                let first = comptime!(if turned {
                    n * PIECE * right_stride + k * PIECE
                } else {
                    k * PIECE * right_stride + n * PIECE
                });
                let columns = cmma::Matrix::<Vector<E, R>>::from_slice(
                    cmma::MatrixIdent::B,
                    PIECE,
                    PIECE,
                    PIECE,
                    layout,
                    &right[comptime!(first / right_size)..],
                    comptime!(right_stride as u32),
                );
                let sum = sums.index_mut(n);
                cmma::execute(&rows, &columns, &*sum, &*sum);
            }
        }
    }

    fn store(
        sums: &Sequence<Self::Sum>,
        to: &mut [Vector<f32, Const<4>>],
        #[comptime] stride: usize,
    ) {
        #[unroll]
        for n in 0..sums.len() {
            cmma::store(
                &mut to[comptime!(n * PIECE / 4)..],
                sums.index(n),
                comptime!(stride as u32),
                cmma::MatrixLayout::RowMajor,
            );
        }
    }
}
