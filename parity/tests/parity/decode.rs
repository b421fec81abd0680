//! Decoding step by step with a cache gives what one pass over the whole text gives.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use gpt2_core::{Gpt2, Gpt2Batch, KvCache};

use crate::compare::{assert_close, everywhere};
use crate::models::{devices, host, load, mask};
use crate::root::roots;
use crate::tensors::{Array, Arrays};
use crate::tolerance::{CACHED, LOGITS};

#[test]
fn cached_decode_equals_full_pass() {
    for root in roots() {
        for name in root.forward_models() {
            let file = format!("forward/{}.safetensors", name.replace('/', "-"));
            let arrays = Arrays::open(root.expected(&file));
            let text = arrays.ids("full.input_ids").remove(0);
            for (backend, device) in devices() {
                let model = load(&root.model(&name), &device);
                let context = format!("{} {name} {backend} cached", root.name);
                let batch = Gpt2Batch::new(std::slice::from_ref(&text), model.config(), &device);
                let full = host(model.forward(&batch.expect("a good text")));
                let found = step_by_step(&model, &text, &device);
                let shape = vec![1, text.len(), model.config().vocab_size];
                let values = full.into_iter().map(f64::from).collect();
                let full = Array { name: "full pass".into(), shape, values };
                assert_close(&context, &found, &full, CACHED, everywhere);
                let vocab = model.config().vocab_size;
                let every_eighth: Vec<f32> =
                    found.chunks(vocab).step_by(8).flat_map(<[f32]>::to_vec).collect();
                let expected = arrays.floats("full.logits");
                assert_close(&context, &every_eighth, &expected, LOGITS, everywhere);
            }
        }
    }
}

/// Logits of every position: a prompt of five tokens at once, then one token at a time.
fn step_by_step(model: &Gpt2, text: &[u32], device: &Device) -> Vec<f32> {
    let mut cache = KvCache::new(model.config(), 1, text.len(), device).expect("room");
    let mut logits = Vec::new();
    let (prompt, rest) = text.split_at(5);
    for piece in std::iter::once(prompt).chain(rest.chunks(1)) {
        let batch = Gpt2Batch::new(&[piece.to_vec()], model.config(), device).expect("good ids");
        logits.extend(host(model.head(model.hidden_cached(&batch, &mut cache))));
    }
    assert_eq!(cache.len(), text.len());
    logits
}

/// As [`step_by_step`] for rows that are padded on the left: the mask grows with the cache.
fn padded_step_by_step(
    model: &Gpt2,
    rows: &[Vec<u32>],
    mask: &[Vec<bool>],
    device: &Device,
) -> Vec<Vec<f32>> {
    let seq = rows[0].len();
    let mut cache = KvCache::new(model.config(), rows.len(), seq, device).expect("room");
    let position = |row: usize, at: usize| {
        mask[row][..=at].iter().filter(|&&real| real).count().saturating_sub(1) as i32
    };
    (0..seq)
        .map(|at| {
            let ids: Vec<Vec<u32>> = rows.iter().map(|row| vec![row[at]]).collect();
            let mut batch = Gpt2Batch::new(&ids, model.config(), device).expect("good ids");
            let seen: Vec<bool> = mask.iter().flat_map(|row| row[..=at].to_vec()).collect();
            let places: Vec<i32> = (0..rows.len()).map(|row| position(row, at)).collect();
            let seen = TensorData::new(seen, [rows.len(), at + 1]);
            let places = TensorData::new(places, [rows.len(), 1]);
            batch.attention_mask = Some(Tensor::<2, Bool>::from_data(seen, device));
            batch.position_ids = Some(Tensor::<2, Int>::from_data(places, device));
            host(model.head(model.hidden_cached(&batch, &mut cache)))
        })
        .collect()
}

#[test]
fn cached_decode_of_a_padded_batch_equals_transformers() {
    for root in roots() {
        let arrays = Arrays::open(root.expected("forward/bbpe.safetensors"));
        let (rows, mask) = (arrays.ids("padded.input_ids"), mask(&arrays, "padded").expect("one"));
        for (backend, device) in devices() {
            let model = load(&root.model("bbpe"), &device);
            let vocab = model.config().vocab_size;
            let steps = padded_step_by_step(&model, &rows, &mask, &device);
            let mut found = Vec::new();
            for row in 0..rows.len() {
                for step in &steps {
                    found.extend_from_slice(&step[row * vocab..(row + 1) * vocab]);
                }
            }
            let keep = |at: &[usize]| mask[at[0]][at[1]];
            let context = format!("{} bbpe {backend} padded, cached", root.name);
            assert_close(&context, &found, &arrays.floats("padded.logits"), LOGITS, keep);
        }
    }
}
