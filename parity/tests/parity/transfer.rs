//! Vocabulary transfer against rows that numpy has put together.

use gpt2_core::ModelFolder;
use gpt2_core::tokenizer::Tokenizer;
use gpt2_train::transfer_vocabulary;

use crate::compare::assert_close;
use crate::json::{count, ids};
use crate::models::devices;
use crate::root::roots;
use crate::tensors::{Array, Arrays};
use crate::tolerance::MEAN_ROW;

#[test]
fn rows_of_shared_tokens_are_kept_bit_for_bit_and_the_others_are_the_mean() {
    for root in roots() {
        let expected = root.json("vocab_transfer/expected.json");
        let arrays = Arrays::open(root.expected("vocab_transfer/wte.safetensors"));
        let rows = arrays.floats("new_wte");
        let width = rows.shape[1];
        let kept = ids(&expected["kept_new_ids"]);
        let is_kept = |row: usize| kept.binary_search(&(row as u32)).is_ok();
        let folder = ModelFolder::open(root.model("bbpe")).expect("a good folder");
        for (backend, device) in devices() {
            let context = format!("{} transfer {backend}", root.name);
            let tokenizer = Tokenizer::from_folder(root.expected("vocab_transfer/new"));
            let transfer = transfer_vocabulary(&folder, tokenizer.expect("a tokenizer"), &device)
                .expect("a model that can be transferred");
            assert_eq!(transfer.kept, count(&expected, "kept"), "{context}");
            assert_eq!(transfer.filled, count(&expected, "filled_with_mean"), "{context}");
            assert_eq!(transfer.model.config().vocab_size, count(&expected, "new_size"));
            let found = transfer.model.parameters()[0].to_vec().expect("a device that works");
            for (row, values) in found.chunks(width).enumerate().filter(|(row, _)| is_kept(*row)) {
                let published: Vec<f32> =
                    rows.values[row * width..][..width].iter().map(|&value| value as f32).collect();
                assert_eq!(values, published, "{context}: row {row}");
            }
            let filled = Array { name: "new_wte".to_string(), ..rows.clone() };
            assert_close(&context, &found, &filled, MEAN_ROW, |at| !is_kept(at[0]));
        }
    }
}
