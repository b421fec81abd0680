//! Self-attention of whole texts, from queries, keys and values that lie side by side.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::attention::{Attended, AttentionBias, AttentionScale, attention, takes_heads};
use super::dropout::DropoutMasks;
use super::dropout::Mask;
use super::fused::{self, FusedOps};

/// What beside the tensor there is to know of fused attention.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// How many.
    pub count: usize,
    /// Factor on the scores.
    pub factor: f32,
    /// Of dropout on the probabilities, `[batch, head, seq, seq]`.
    pub mask: Option<Mask>,
}

/// [`attention`] from every token to those that `bias` does not hide, in `heads` heads.
///
/// Where the bias hides what comes after a token and nothing else, the fused body goes over the keys in strips: no
/// matrix of `seq` by `seq` is made or kept.
///
/// # Shapes
/// - qkv: `[batch, seq, 3 embd]`
/// - output: `[batch, seq, embd]`
#[must_use]
pub fn causal_attention(
    qkv: Tensor<3>,
    heads: usize,
    bias: &AttentionBias,
    scale: AttentionScale,
    drop_probability: f64,
    masks: &mut DropoutMasks,
) -> Tensor<3> {
    let head_dim = qkv.dims()[2] / 3 / heads;
    if bias.is_causal() && fused::is_ours(&qkv) && takes_heads(&qkv, head_dim) {
        let drops = drop_probability != 0.0 && qkv.is_autodiff();
        let mask = drops.then(|| Mask::new(masks.next_key(), drop_probability));
        let heads = Heads { count: heads, factor: scale.factor as f32, mask };
        let output = <Dispatch as FusedOps>::causal_attention(qkv.into_dispatch(), heads);
        return Tensor::from_dispatch(output);
    }
    by_parts(qkv, heads, bias, scale, drop_probability, masks).0
}

/// Heads apart, attention, heads together; also gives the probabilities, `[batch, head, seq, seq]`.
#[must_use]
pub fn by_parts(
    qkv: Tensor<3>,
    heads: usize,
    bias: &AttentionBias,
    scale: AttentionScale,
    drop_probability: f64,
    masks: &mut DropoutMasks,
) -> (Tensor<3>, Tensor<4>) {
    let [query, key, value] = heads_apart(qkv, heads);
    let Attended { output, probabilities } =
        attention(query, key, value, bias, scale, drop_probability, masks);
    (heads_together(output), probabilities)
}

/// Queries, keys and values, `[batch, head, seq, head_dim]`.
#[must_use]
pub fn heads_apart(qkv: Tensor<3>, heads: usize) -> [Tensor<4>; 3] {
    let [batch, seq, width] = qkv.dims();
    let embd = width / 3;
    [0, 1, 2].map(|part| {
        qkv.clone()
            .narrow(2, part * embd, embd)
            .reshape([batch, seq, heads, embd / heads])
            .swap_dims(1, 2)
    })
}

/// From `[batch, head, seq, head_dim]` to `[batch, seq, embd]`.
#[must_use]
pub fn heads_together(output: Tensor<4>) -> Tensor<3> {
    let [batch, heads, seq, head_dim] = output.dims();
    output.swap_dims(1, 2).reshape([batch, seq, heads * head_dim])
}
