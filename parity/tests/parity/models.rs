//! Loading the models of a root.

use std::path::Path;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
pub use gpt2_core::device::test_devices as devices;
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, ModelFolder};

use crate::tensors::Arrays;

/// Loads the model of a good folder.
pub fn load(folder: &Path, device: &Device) -> Gpt2 {
    let model = ModelFolder::open(folder).and_then(|folder| folder.model(device));
    model.unwrap_or_else(|error| panic!("{error}"))
}

/// The inputs of one batch of a forward or gradient file, with mask and positions where stored.
pub fn batch(arrays: &Arrays, key: &str, config: &Gpt2Config, device: &Device) -> Gpt2Batch {
    let rows = arrays.ids(&format!("{key}.input_ids"));
    let mut batch = Gpt2Batch::new(&rows, config, device).expect("ids within the vocabulary");
    let shape = [rows.len(), rows[0].len()];
    if let Some(mask) = mask(arrays, key) {
        let flat: Vec<bool> = mask.into_iter().flatten().collect();
        let mask = Tensor::<2, Bool>::from_data(TensorData::new(flat, shape), device);
        batch.attention_mask = Some(mask);
    }
    let positions = format!("{key}.position_ids");
    if arrays.has(&positions) {
        let flat: Vec<i32> = arrays.rows(&positions).concat().iter().map(|&p| p as i32).collect();
        let positions = Tensor::<2, Int>::from_data(TensorData::new(flat, shape), device);
        batch.position_ids = Some(positions);
    }
    batch
}

/// The attention mask of a batch, where it has one.
pub fn mask(arrays: &Arrays, key: &str) -> Option<Vec<Vec<bool>>> {
    let name = format!("{key}.attention_mask");
    let bools = |row: Vec<i64>| row.into_iter().map(|one| one != 0).collect();
    arrays.has(&name).then(|| arrays.rows(&name).into_iter().map(bools).collect())
}

/// The values of a tensor on the host.
pub fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().expect("a device that works")
}
