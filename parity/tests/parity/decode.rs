//! Decoding step by step with a cache gives what one pass over the whole text gives.

use burn::tensor::Device;
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
    assert_eq!(cache.lengths(), [text.len()]);
    logits
}

/// As [`step_by_step`] for rows that were padded on the left, each without its padding: prompts of
/// different lengths at once, then one token for each row.
///
/// Logits of each row's real positions.
fn ragged_step_by_step(model: &Gpt2, rows: &[Vec<u32>], device: &Device) -> Vec<Vec<f32>> {
    let longest = rows.iter().map(Vec::len).max().expect("rows");
    let mut cache = KvCache::new(model.config(), rows.len(), longest, device).expect("room");
    // As many tokens are left to every row, so that all end together.
    let left = rows.iter().map(Vec::len).min().expect("rows") - 1;
    let prompts: Vec<Vec<u32>> = rows.iter().map(|row| row[..row.len() - left].to_vec()).collect();
    let batch = Gpt2Batch::right_padded(&prompts, model.config(), device).expect("good ids");
    let logits = host(model.head(model.hidden_cached(&batch, &mut cache)));
    let vocab = model.config().vocab_size;
    let per_row = logits.len() / rows.len();
    let mut found: Vec<Vec<f32>> = logits
        .chunks(per_row)
        .zip(&prompts)
        .map(|(logits, prompt)| logits[..prompt.len() * vocab].to_vec())
        .collect();
    for at in (1..=left).rev() {
        let ids: Vec<Vec<u32>> = rows.iter().map(|row| vec![row[row.len() - at]]).collect();
        let batch = Gpt2Batch::new(&ids, model.config(), device).expect("good ids");
        let logits = host(model.head(model.hidden_cached(&batch, &mut cache)));
        for (found, logits) in found.iter_mut().zip(logits.chunks(vocab)) {
            found.extend_from_slice(logits);
        }
    }
    found
}

#[test]
fn cached_decode_of_a_padded_batch_equals_transformers() {
    for root in roots() {
        let arrays = Arrays::open(root.expected("forward/bbpe.safetensors"));
        let (rows, mask) = (arrays.ids("padded.input_ids"), mask(&arrays, "padded").expect("one"));
        let real: Vec<Vec<u32>> = rows
            .iter()
            .zip(&mask)
            .map(|(row, mask)| {
                row.iter().zip(mask).filter(|(_, real)| **real).map(|(&id, _)| id).collect()
            })
            .collect();
        for (backend, device) in devices() {
            let model = load(&root.model("bbpe"), &device);
            let vocab = model.config().vocab_size;
            let found: Vec<f32> = ragged_step_by_step(&model, &real, &device)
                .into_iter()
                .zip(&rows)
                .flat_map(|(found, row)| {
                    [vec![0.0; row.len() * vocab - found.len()], found].concat()
                })
                .collect();
            let keep = |at: &[usize]| mask[at[0]][at[1]];
            let context = format!("{} bbpe {backend} padded, cached", root.name);
            assert_close(&context, &found, &arrays.floats("padded.logits"), LOGITS, keep);
        }
    }
}
