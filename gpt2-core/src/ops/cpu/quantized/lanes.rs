//! What the loops need of a processor: dot products of four bytes, in as many columns as a vector has.
//!
//! A weight is a byte without sign (its integer plus an offset) and an activation a signed one, which is what the
//! dot-product instruction of VNNI multiplies. The other levels widen both to 16 bits: their instruction for bytes
//! saturates. Sums are exact integers, and what follows is the same two roundings everywhere, so every level gives
//! the same bits.

/// A vector of columns, on one kind of processor.
pub(super) trait Lanes: Copy {
    /// Columns of a vector.
    const WIDTH: usize;
    /// An integer for each column.
    type Sums: Copy;
    /// Four weights of each column.
    type Weights: Copy;
    /// Four activations, for all columns.
    type Inputs: Copy;

    /// One integer for all columns.
    fn splat(self, value: i32) -> Self::Sums;
    /// Weights of one byte; `4 * WIDTH` bytes are read.
    fn bytes(self, packed: &[u8]) -> Self::Weights;
    /// Weights of half a byte, the low halves and the high ones; `4 * WIDTH` bytes are read.
    fn nibbles(self, packed: &[u8]) -> [Self::Weights; 2];
    /// Four signed bytes, the first of them the lowest.
    fn inputs(self, packed: u32) -> Self::Inputs;
    /// `sums + weights . inputs`.
    fn dot(self, sums: Self::Sums, weights: Self::Weights, inputs: Self::Inputs) -> Self::Sums;
    /// `out += (sums * scales) * factor`, each rounded.
    fn add_scaled(self, out: &mut [f32], sums: Self::Sums, scales: &[f32], factor: f32);
}

/// Plain arithmetic, for every processor.
#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    const WIDTH: usize = 16;
    type Sums = [i32; 16];
    type Weights = [[u8; 4]; 16];
    type Inputs = [i8; 4];

    #[inline(always)]
    fn splat(self, value: i32) -> Self::Sums {
        [value; 16]
    }

    #[inline(always)]
    fn bytes(self, packed: &[u8]) -> Self::Weights {
        let mut weights = [[0; 4]; 16];
        weights.copy_from_slice(&packed.as_chunks().0[..16]);
        weights
    }

    #[inline(always)]
    fn nibbles(self, packed: &[u8]) -> [Self::Weights; 2] {
        let both = self.bytes(packed);
        [both.map(|four| four.map(|byte| byte & 15)), both.map(|four| four.map(|byte| byte >> 4))]
    }

    #[inline(always)]
    fn inputs(self, packed: u32) -> Self::Inputs {
        packed.to_le_bytes().map(|byte| byte as i8)
    }

    #[inline(always)]
    fn dot(self, mut sums: Self::Sums, weights: Self::Weights, inputs: Self::Inputs) -> Self::Sums {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            for (weight, input) in weights.into_iter().zip(inputs) {
                *sum += i32::from(weight) * i32::from(input);
            }
        }
        sums
    }

    #[inline(always)]
    fn add_scaled(self, out: &mut [f32], sums: Self::Sums, scales: &[f32], factor: f32) {
        for ((out, sum), scale) in out.iter_mut().zip(sums).zip(scales) {
            *out += sum as f32 * scale * factor;
        }
    }
}
