//! Rows of a cache.

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor, TensorData};

use super::fused::{self, FusedOps};

/// Writes the first `filled` places of the rows `from` over the rows from `first` on.
///
/// # Shapes
/// - cached: `[rows, head, capacity, head_dim]`
pub fn move_rows(cached: &mut Tensor<4>, from: &[usize], first: usize, filled: usize) {
    if fused::is_ours(cached) {
        let old = cached.extract().into_dispatch();
        let new = <Dispatch as FusedOps>::move_rows(old, from.to_vec(), first, filled);
        *cached = Tensor::from_dispatch(new);
        return;
    }
    let [rows, head, _, head_dim] = cached.dims();
    let ids: Vec<i32> = from.iter().map(|&row| row as i32).collect();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [from.len()]), &cached.device());
    let part = cached.clone().slice([0..rows, 0..head, 0..filled, 0..head_dim]).select(0, ids);
    let to = [first..first + from.len(), 0..head, 0..filled, 0..head_dim];
    // `inplace` leaves no second owner, so that the write does not copy the cache.
    cached.inplace(|cached| cached.slice_assign(to, part));
}
