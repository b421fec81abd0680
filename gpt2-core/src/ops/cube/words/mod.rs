//! Products with weights in fewer bits, which are read as words of 32 bits.
//!
//! A few rows of activations, as decoding has them, meet every word once: a cube has some columns of the weight, and its
//! units divide the depth among them. For many rows the weight becomes floats for as long as the product takes.

mod numbers;
mod product;

use burn::backend::{Backend, DTypeUsage};
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::tensor::CubeTensor;

use super::bias::{add_bias, add_bias_residual, bias_gelu};
use super::linear;
use super::tensors::{empty, matrix};
use crate::ops::words::WordOps;
use crate::quantize::{WordKind, WordShape};

/// Rows from which on the weight is made into floats.
const MANY: usize = 33;

/// A weight on the device.
struct Weight {
    words: CubeTensor,
    scales: CubeTensor,
    shape: WordShape,
}

/// What is added to a product, and whether GELU follows.
#[derive(Default)]
struct Then {
    bias: Option<CubeTensor>,
    residual: Option<CubeTensor>,
    gelu: bool,
}

impl WordOps for CubeBackend {
    fn word_product(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        multiply(x, Weight::new(words, scales, shape), Then::default())
    }

    fn word_linear(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), ..Then::default() };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_gelu(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), gelu: true, ..Then::default() };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_residual(
        x: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        bias: CubeTensor,
        residual: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        let then = Then { bias: Some(bias), residual: Some(residual), gelu: false };
        multiply(x, Weight::new(words, scales, shape), then)
    }

    fn word_rows(
        ids: CubeTensor,
        words: CubeTensor,
        scales: CubeTensor,
        shape: WordShape,
    ) -> CubeTensor {
        numbers::rows(ids, Weight::new(words, scales, shape))
    }

    fn word_table(words: CubeTensor, scales: CubeTensor, shape: WordShape) -> CubeTensor {
        let weight = Weight::new(words, scales, shape);
        let output = empty(&weight.words, [shape.columns, shape.depth], DType::F32);
        weight.expand(&output, [1, shape.depth]);
        output
    }
}

impl Weight {
    fn new(words: CubeTensor, scales: CubeTensor, shape: WordShape) -> Self {
        let [words, scales] = [words, scales].map(into_contiguous);
        Self { words, scales, shape }
    }

    /// What products of many rows are computed in: what a weight in bf16 is, where the device multiplies that.
    fn wide_dtype(&self) -> DType {
        let usage = CubeBackend::dtype_usage(&self.words.device, DType::BF16);
        match self.shape.kind {
            WordKind::Half if usage.contains(DTypeUsage::Arithmetic) => DType::BF16,
            _ => DType::F32,
        }
    }
}

/// `x @ weight`, and what follows, in `f32`.
fn multiply(x: CubeTensor, weight: Weight, then: Then) -> CubeTensor {
    let [rows, _] = matrix(&x);
    if rows < MANY { product::few(x, &weight, then) } else { many(x, &weight, then) }
}

fn many(x: CubeTensor, weight: &Weight, then: Then) -> CubeTensor {
    let dtype = weight.wide_dtype();
    let found = linear::product(of_type(x, dtype), weight.floats(dtype));
    let found = match then {
        Then { bias: None, .. } => found,
        Then { bias: Some(bias), gelu: true, .. } => bias_gelu(found, bias),
        Then { bias: Some(bias), residual: None, .. } => add_bias(found, bias),
        Then { bias: Some(bias), residual: Some(residual), .. } => {
            add_bias_residual(found, bias, residual)
        }
    };
    of_type(found, DType::F32)
}

fn of_type(x: CubeTensor, dtype: DType) -> CubeTensor {
    if x.dtype == dtype { x } else { cast(x, dtype) }
}
