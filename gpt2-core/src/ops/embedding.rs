//! Token and position embeddings.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, module};

use super::fused::{self, FusedOps};

/// A table of token vectors for one pass, in which the head may use it as well.
#[derive(Debug, Clone)]
pub struct TokenTable {
    /// `[vocab, embd]`.
    pub weight: Tensor<2>,
    /// Whether `weight` is a second name that [`linear_cross_entropy`](super::linear_cross_entropy) gets too.
    is_tied: bool,
}

impl TokenTable {
    /// A table for look-ups alone.
    #[must_use]
    pub fn new(weight: Tensor<2>) -> Self {
        Self { weight, is_tied: false }
    }

    /// A table that is also the head's: [`embedding`] and
    /// [`linear_cross_entropy`](super::linear_cross_entropy) **must** both use it before the backward pass, which
    /// is then spared a second gradient of the size of the table.
    #[must_use]
    pub fn tied(weight: Tensor<2>) -> Self {
        if weight.is_tracked() && fused::is_ours(&weight) {
            let alias = <Dispatch as FusedOps>::alias(weight.into_dispatch());
            return Self { weight: Tensor::from_dispatch(alias), is_tied: true };
        }
        Self::new(weight)
    }
}

/// The vector of every token plus that of its position.
///
/// # Shapes
/// - positions: `[n_positions, embd]`
/// - ids: `[batch, seq]`
/// - position_ids: `[1 or batch, seq]`
/// - output: `[batch, seq, embd]`
///
/// # Panics
/// If an id is not a row of its table.
#[must_use]
pub fn embedding(
    tokens: TokenTable,
    positions: Tensor<2>,
    ids: Tensor<2, Int>,
    position_ids: Tensor<2, Int>,
) -> Tensor<3> {
    if fused::is_ours(&tokens.weight) && fused::is_ours(&positions) {
        let TokenTable { weight, is_tied } = tokens;
        let [weight, positions] = [weight, positions].map(Tensor::into_dispatch);
        let [ids, places] = [ids, position_ids].map(Tensor::into_dispatch);
        let output = <Dispatch as FusedOps>::embeddings(weight, positions, ids, places, is_tied);
        return Tensor::from_dispatch(output);
    }
    by_parts(tokens.weight, positions, ids, position_ids)
}

/// Two look-ups and a sum.
#[must_use]
pub fn by_parts(
    tokens: Tensor<2>,
    positions: Tensor<2>,
    ids: Tensor<2, Int>,
    position_ids: Tensor<2, Int>,
) -> Tensor<3> {
    module::embedding(tokens, ids) + module::embedding(positions, position_ids)
}
