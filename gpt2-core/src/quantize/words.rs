//! Weights in fewer bits as GPUs read them: in words of 32 bits.
//!
//! A word has numbers of one column that follow one another along the depth; words of a step along the depth lie side by
//! side, column after column. Units that have columns side by side so read memory side by side, whatever the bits.

use rayon::prelude::*;

use super::{CompactMatrix, HalfMatrix, IntFormat, QuantizedMatrix};

/// Columns are filled up to a multiple of this, so that a unit may read as many at a time.
pub(crate) const COLUMNS: usize = 4;

/// What the numbers of a word are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WordKind {
    /// Four of 8 bits, 128 more than they stand for.
    Int8,
    /// Eight of 4 bits, 8 more than they stand for.
    Int4,
    /// Two bf16, which have no scales.
    Half,
}

impl WordKind {
    /// Numbers in a word.
    #[must_use]
    pub fn count(self) -> usize {
        32 / self.bits()
    }

    /// Bits of a number.
    #[must_use]
    pub fn bits(self) -> usize {
        match self {
            Self::Int8 => 8,
            Self::Int4 => 4,
            Self::Half => 16,
        }
    }

    /// Words of a column that share a scale; `None` without scales.
    #[must_use]
    pub fn words_of_a_group(self) -> Option<usize> {
        match self {
            Self::Int8 => Some(IntFormat::Int8.group_size() / 4),
            Self::Int4 => Some(IntFormat::Int4.group_size() / 8),
            Self::Half => None,
        }
    }
}

/// Extents of a weight, whatever axis the depth is in a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WordShape {
    /// Numbers of a column, which a product adds up.
    pub depth: usize,
    /// Columns, each of which a product makes a number of.
    pub columns: usize,
    /// What the numbers are.
    pub kind: WordKind,
}

impl WordShape {
    /// Words of a column.
    #[must_use]
    pub fn steps(self) -> usize {
        self.depth.div_ceil(self.kind.count())
    }

    /// Whether kernels take it: they read the numbers of a row of activations as many at a time as a word has.
    #[must_use]
    pub fn is_whole(self) -> bool {
        self.depth.is_multiple_of(self.kind.count())
    }

    /// Columns in memory; those that are too many are zeros.
    #[must_use]
    pub fn padded(self) -> usize {
        self.columns.next_multiple_of(COLUMNS)
    }
}

/// A weight in words, `[steps, padded]`, and its scales, `[groups, padded]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Words {
    pub shape: WordShape,
    pub words: Vec<u32>,
    /// A vector that means nothing where there are no scales.
    pub scales: Vec<f32>,
}

impl CompactMatrix {
    /// Extents and kind of its words.
    pub(crate) fn word_shape(&self) -> WordShape {
        match self {
            Self::Quantized(matrix) => {
                let kind = match matrix.format() {
                    IntFormat::Int8 => WordKind::Int8,
                    IntFormat::Int4 => WordKind::Int4,
                };
                let shape = matrix.packed().shape;
                WordShape { depth: shape.depth, columns: shape.columns, kind }
            }
            Self::Half(matrix) => {
                let [depth, columns] = matrix.extents();
                WordShape { depth, columns, kind: WordKind::Half }
            }
        }
    }

    /// The weight in words.
    pub(crate) fn to_words(&self) -> Words {
        let shape = self.word_shape();
        match self {
            Self::Quantized(matrix) => of_whole(matrix, shape),
            Self::Half(matrix) => of_half(matrix, shape),
        }
    }
}

fn of_whole(matrix: &QuantizedMatrix, shape: WordShape) -> Words {
    let (padded, count, bits) = (shape.padded(), shape.kind.count(), shape.kind.bits());
    let packed = matrix.packed();
    let offset = packed.shape.offset();
    let words_of_a_group = packed.shape.format.group_size() / count;
    // What stands for zero, in every place.
    let zero = (0..count).fold(0, |word, at| word | (offset as u32) << (at * bits));
    let mut words = vec![zero; shape.steps() * padded];
    let mut scales = vec![0.0; packed.shape.groups() * padded];
    let groups = words.par_chunks_mut(words_of_a_group * padded).zip(scales.par_chunks_mut(padded));
    groups.enumerate().for_each(|(group, (words, scales))| {
        for (column, scale) in scales[..shape.columns].iter_mut().enumerate() {
            let (numbers, found) = packed.read(column, group);
            *scale = found.to_f32();
            for (depth, number) in numbers.enumerate() {
                let bits_of_it = (i32::from(number) + offset) as u32 ^ offset as u32;
                words[depth / count * padded + column] ^= bits_of_it << (depth % count * bits);
            }
        }
    });
    Words { shape, words, scales }
}

fn of_half(matrix: &HalfMatrix, shape: WordShape) -> Words {
    let padded = shape.padded();
    let mut words = vec![0; shape.steps() * padded];
    words.par_chunks_mut(padded).enumerate().for_each(|(step, words)| {
        for (column, word) in words[..shape.columns].iter_mut().enumerate() {
            let number = |depth| match depth < shape.depth {
                true => u32::from(matrix.at(depth, column).to_bits()),
                false => 0,
            };
            *word = number(2 * step) | number(2 * step + 1) << 16;
        }
    });
    Words { shape, words, scales: vec![1.0; COLUMNS] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::{CompactFormat, DepthAxis};

    /// What the words stand for, as `[depth, columns]`.
    fn values(words: &Words) -> Vec<f32> {
        let WordShape { depth, columns, kind } = words.shape;
        let (padded, count, bits) = (words.shape.padded(), kind.count(), kind.bits());
        let value = |at: usize| {
            let (depth, column) = (at / columns, at % columns);
            let word = words.words[depth / count * padded + column] >> (depth % count * bits);
            match kind.words_of_a_group() {
                None => f32::from_bits(word << 16),
                Some(group) => {
                    let number = (word & ((1 << bits) - 1)) as i32 - (1 << (bits - 1));
                    number as f32 * words.scales[depth / count / group * padded + column]
                }
            }
        };
        (0..depth * columns).map(value).collect()
    }

    #[test]
    fn words_stand_for_what_the_weight_does() {
        let formats = [IntFormat::Int8, IntFormat::Int4].map(CompactFormat::Int);
        for format in formats.into_iter().chain([CompactFormat::Bf16]) {
            for [depth, columns] in [[1, 1], [130, 7], [33, 64], [256, 67]] {
                let numbers: Vec<f32> =
                    (0..depth * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.03).collect();
                let first = format.apply(&numbers, [depth, columns], DepthAxis::First).unwrap();
                let found = first.to_words();
                assert_eq!(values(&found), first.to_values(), "{format:?} {depth} x {columns}");

                let last = format.apply(&numbers, [columns, depth], DepthAxis::Last).unwrap();
                let by_column = last.to_values();
                let turned = (0..depth * columns)
                    .map(|at| by_column[at % columns * depth + at / columns])
                    .collect::<Vec<_>>();
                assert_eq!(values(&last.to_words()), turned, "{format:?} {columns} x {depth}");
            }
        }
    }

    #[test]
    fn columns_that_are_too_many_are_zeros() {
        let matrix = CompactFormat::Int(IntFormat::Int8);
        let matrix = matrix.apply(&[0.0; 15], [5, 3], DepthAxis::First).unwrap();
        let words = matrix.to_words();
        assert_eq!(words.shape.padded(), 4);
        assert_eq!(words.words, [0x8080_8080; 8]);
        assert_eq!(words.scales[3], 0.0);
    }
}
