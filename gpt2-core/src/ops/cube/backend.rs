//! The fused operations on the tensors of a GPU.

use std::ops::Range;

use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::cross_entropy::{Found, cross_entropy};
use super::linear::{product, scores};
use super::moments::{self, Parameter};
use super::{activation, attention, bias, dropout, embedding, layer_norm, norms, sample};
use crate::ops::AdamWUpdate;
use crate::ops::causal_attention::Heads;
use crate::ops::dropout::Mask;
use crate::ops::fused::{FusedKernels, FusedOps};
use crate::ops::list::Tensors;
use crate::ops::sample::{SampleOps, SampleOptions};

impl FusedOps for CubeBackend {
    fn fused_layer_norm(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        epsilon: f64,
    ) -> CubeTensor {
        layer_norm::layer_norm(x, weight, bias, epsilon)
    }

    fn fused_linear(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        bias::add_bias(product(x, weight), bias)
    }

    fn linear_residual(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        residual: CubeTensor,
    ) -> CubeTensor {
        bias::add_bias_residual(product(x, weight), bias, residual)
    }

    fn linear_gelu(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        bias::bias_gelu(product(x, weight), bias)
    }

    fn mlp(
        x: CubeTensor,
        c_fc: CubeTensor,
        c_fc_bias: CubeTensor,
        c_proj: CubeTensor,
        c_proj_bias: CubeTensor,
        residual: CubeTensor,
        mask: Option<Mask>,
    ) -> CubeTensor {
        let activated = Self::linear_gelu(x, c_fc, c_fc_bias);
        Self::projected(activated, c_proj, c_proj_bias, residual, mask)
    }

    fn scores(x: CubeTensor, table: CubeTensor) -> CubeTensor {
        scores(x, table)
    }

    fn gelu_tanh(x: CubeTensor) -> CubeTensor {
        activation::gelu(x)
    }

    fn dropout(x: CubeTensor, mask: Mask) -> CubeTensor {
        dropout::dropout(x, mask)
    }

    fn dropout_residual(x: CubeTensor, residual: CubeTensor, mask: Mask) -> CubeTensor {
        dropout::dropout_residual(x, residual, mask)
    }

    fn embeddings(
        tokens: CubeTensor,
        positions: CubeTensor,
        ids: CubeTensor,
        places: CubeTensor,
        _after_head: bool,
    ) -> CubeTensor {
        embedding::embeddings(tokens, positions, ids, places)
    }

    fn alias(x: CubeTensor) -> CubeTensor {
        x
    }

    fn linear_cross_entropy(
        hidden: CubeTensor,
        table: CubeTensor,
        targets: CubeTensor,
        factor: f64,
    ) -> (CubeTensor, CubeTensor) {
        let Found { loss, hits, .. } = cross_entropy(hidden, table, targets, factor, [false; 2]);
        (loss, hits)
    }

    fn causal_attention(qkv: CubeTensor, heads: Heads) -> CubeTensor {
        attention::forward(qkv, heads).0
    }

    fn attend_in_place(
        qkv: CubeTensor,
        keys: CubeTensor,
        values: CubeTensor,
        places: Vec<Range<usize>>,
        factor: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        attention::attend(qkv, keys, values, &places, factor)
    }

    fn move_rows(cached: CubeTensor, from: Vec<usize>, first: usize, filled: usize) -> CubeTensor {
        attention::move_rows(cached, &from, first, filled)
    }

    fn adamw(
        values: Tensors<Self>,
        means: Tensors<Self>,
        squares: Tensors<Self>,
        gradients: Tensors<Self>,
        factors: Tensors<Self>,
        places: Vec<usize>,
        updates: Vec<AdamWUpdate>,
    ) -> (Tensors<Self>, Tensors<Self>, Tensors<Self>) {
        let states = values.0.into_iter().zip(means.0).zip(squares.0);
        let gradients = gradients.0.into_iter().zip(places).zip(updates);
        let parameters =
            states.zip(gradients).map(|(((value, mean), square), ((gradient, place), update))| {
                Parameter { state: [value, mean, square], gradient, place, update }
            });
        let moved = moments::adamw(parameters.collect(), factors.0.into_iter().next());
        let [mut values, mut means, mut squares] =
            [(); 3].map(|()| Vec::with_capacity(moved.len()));
        for [value, mean, square] in moved {
            values.push(value);
            means.push(mean);
            squares.push(square);
        }
        (Tensors(values), Tensors(means), Tensors(squares))
    }

    fn moment(like: CubeTensor) -> CubeTensor {
        moments::moment(&like)
    }

    fn squared_norms(xs: Tensors<Self>, places: Vec<usize>, count: usize) -> CubeTensor {
        norms::squared_norms(xs.0, &places, count)
    }

    fn add_scaled(sum: CubeTensor, part: CubeTensor, factor: f32) -> CubeTensor {
        moments::add_scaled(sum, part, factor)
    }
}

impl SampleOps for CubeBackend {
    fn greedy(logits: CubeTensor) -> (CubeTensor, CubeTensor) {
        sample::greedy(logits)
    }

    fn sample(
        logits: CubeTensor,
        numbers: CubeTensor,
        options: SampleOptions,
    ) -> (CubeTensor, CubeTensor) {
        sample::sample(logits, numbers, options)
    }
}
