//! What the backward passes are made of, on the tensors of a GPU.

use burn::backend::TensorMetadata;
use burn::backend::ops::FloatTensorOps;
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::cross_entropy::{Found, cross_entropy};
use super::linear::{product, scores, weight_gradient};
use super::{activation, attention, bias, layer_norm, scatter};
use crate::ops::causal_attention::Heads;
use crate::ops::dropout::Mask;
use crate::ops::fused::{FusedKernels, FusedOps};

impl FusedKernels for CubeBackend {
    fn fused_layer_norm_backward(
        upstream: CubeTensor,
        x: CubeTensor,
        weight: CubeTensor,
        epsilon: f64,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        let [by_x, by_weight, by_bias] =
            layer_norm::layer_norm_backward(upstream, x, weight, epsilon);
        (by_x, by_weight, by_bias)
    }

    fn product(x: CubeTensor, weight: CubeTensor) -> CubeTensor {
        product(x, weight)
    }

    fn projected(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
        residual: CubeTensor,
        mask: Option<Mask>,
    ) -> CubeTensor {
        match mask {
            Some(mask) => bias::add_bias_dropout_residual(product(x, weight), bias, mask, residual),
            None => Self::linear_residual(x, weight, bias, residual),
        }
    }

    fn weight_gradient(x: CubeTensor, upstream: CubeTensor) -> CubeTensor {
        weight_gradient(x, upstream)
    }

    fn bias_gradient(upstream: CubeTensor) -> CubeTensor {
        let dtype = upstream.dtype;
        bias::column_sums(upstream, dtype)
    }

    fn linear_gelu_with_input(
        x: CubeTensor,
        weight: CubeTensor,
        bias: CubeTensor,
    ) -> (CubeTensor, CubeTensor) {
        activation::bias_gelu_with_input(product(x, weight), bias)
    }

    fn gelu_tanh_backward(upstream: CubeTensor, x: CubeTensor) -> CubeTensor {
        activation::gelu_backward(upstream, x)
    }

    fn scores_through_gelu(upstream: CubeTensor, weight: CubeTensor, x: CubeTensor) -> CubeTensor {
        activation::gelu_backward(scores(upstream, weight), x)
    }

    fn scatter_add(table: CubeTensor, indices: CubeTensor, upstream: CubeTensor) -> CubeTensor {
        let rows = table.shape()[0];
        scatter::scatter_add(Some(table), rows, indices, upstream)
    }

    fn scattered(indices: CubeTensor, upstream: CubeTensor, rows: usize) -> CubeTensor {
        scatter::scatter_add(None, rows, indices, upstream)
    }

    fn linear_cross_entropy_with_gradients(
        hidden: CubeTensor,
        table: CubeTensor,
        targets: CubeTensor,
        factor: f64,
        wanted: [bool; 2],
    ) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
        let Found { loss, hits, by_hidden, by_table } =
            cross_entropy(hidden, table, targets, factor, wanted);
        let [by_hidden, by_table] =
            [by_hidden, by_table].map(|found| found.unwrap_or_else(|| loss.clone()));
        (loss, hits, by_hidden, by_table)
    }

    fn causal_attention_with_sums(qkv: CubeTensor, heads: Heads) -> (CubeTensor, CubeTensor) {
        attention::forward(qkv, heads)
    }

    fn causal_attention_backward(
        upstream: CubeTensor,
        qkv: CubeTensor,
        output: CubeTensor,
        sums: CubeTensor,
        heads: Heads,
    ) -> CubeTensor {
        attention::backward(upstream, qkv, output, sums, heads)
    }

    fn scaled(x: CubeTensor, upstream: CubeTensor) -> CubeTensor {
        let rank = x.shape().num_dims();
        let upstream = burn_cubecl::kernel::cast(upstream, x.dtype);
        Self::float_mul(x, Self::float_reshape(upstream, vec![1; rank].into()))
    }
}
