//! What matrix units do, one product after the other, so that the kernels can be tried where there are none.

use cubecl::prelude::*;

use super::units::{PIECE, PLANE, Products};

/// Each unit of a plane has half a row of a piece.
const HALF: usize = PIECE / 2;

pub struct WrittenOut;

#[cube]
impl Products for WrittenOut {
    type Sum = Array<f32>;

    fn none(#[comptime] count: usize) -> Sequence<Self::Sum> {
        let mut sums = Sequence::<Self::Sum>::new();
        #[unroll]
        for _ in 0..count {
            let mut sum = Array::<f32>::new(HALF);
            #[unroll]
            for i in 0..HALF {
                sum[i] = 0.0f32;
            }
            sums.push(sum);
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
        let lane = UNIT_POS as usize % PLANE;
        let (row, half) = (lane / 2, lane % 2);
        let left_size = L::value();
        let right_size = R::value();
        for at in 0..comptime!(depth / left_size) {
            let numbers = Vector::<f32, L>::cast_from(left[row * left_stride / left_size + at]);
            #[unroll]
            for n in 0..sums.len() {
                let sum = sums.index_mut(n);
                #[unroll]
                for i in 0..HALF {
                    let column = comptime!(n * PIECE) + half * HALF + i;
                    #[unroll]
                    for k in 0..left_size {
                        let element = comptime!(if turned { k } else { i % right_size });
                        let place = if comptime!(turned) {
                            column * right_stride / right_size + at
                        } else {
                            ((at * left_size + k) * right_stride + column) / right_size
                        };
                        let other = Vector::<f32, R>::cast_from(right[place]).extract(element);
                        sum[i] = fma(numbers.extract(k), other, sum[i]);
                    }
                }
            }
        }
    }

    fn store(
        sums: &Sequence<Self::Sum>,
        to: &mut [Vector<f32, Const<4>>],
        #[comptime] stride: usize,
    ) {
        let lane = UNIT_POS as usize % PLANE;
        let (row, half) = (lane / 2, lane % 2);
        #[unroll]
        for n in 0..sums.len() {
            let sum = sums.index(n);
            #[unroll]
            for four in 0..comptime!(HALF / 4) {
                let mut vector = Vector::<f32, Const<4>>::new(0.0f32);
                #[unroll]
                for i in 0..4usize {
                    vector.insert(i, sum[comptime!(four * 4 + i)]);
                }
                let column = n * PIECE + half * HALF + four * 4;
                to[(row * stride + column) / 4] = vector;
            }
        }
    }
}
