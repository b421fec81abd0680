//! Rungs one and two: logits, hidden states, attentions and loss of every model.

use burn::tensor::Device;
use gpt2_core::{Gpt2, Gpt2Batch, OutputOptions};
use gpt2_train::Example;
use gpt2_train::data::ClmBatch;
use gpt2_train::objective::clm_loss;

use crate::compare::{assert_close, assert_near};
use crate::models::{batch, devices, host, load, mask};
use crate::root::{Root, roots};
use crate::tensors::Arrays;
use crate::tolerance::{ATTENTIONS, HIDDEN, LOGITS, LOSS, Tolerance};

/// One batch of one model on one device, and what is expected of it.
struct Case<'a> {
    context: String,
    key: &'static str,
    arrays: &'a Arrays,
    /// Where there is a token, by row; `None` is everywhere.
    mask: Option<Vec<Vec<bool>>>,
}

impl Case<'_> {
    /// `axes` are the axes of an array that count positions; the first axis is the row.
    fn check(&self, found: &[f32], name: &str, tolerance: Tolerance, axes: &[usize]) {
        let expected = self.arrays.floats(&format!("{}.{name}", self.key));
        let keep = |at: &[usize]| {
            self.mask.as_ref().is_none_or(|mask| axes.iter().all(|&axis| mask[at[0]][at[axis]]))
        };
        assert_close(&self.context, found, &expected, tolerance, keep);
    }
}

fn for_every_model(mut check: impl FnMut(&Root, &str, &str, &Device)) {
    for root in roots() {
        for name in root.forward_models() {
            for (backend, device) in devices() {
                check(root, &name, &backend, &device);
            }
        }
    }
}

fn arrays(root: &Root, model: &str) -> Arrays {
    Arrays::open(root.expected(&format!("forward/{}.safetensors", model.replace('/', "-"))))
}

#[test]
fn every_number_of_the_forward_pass_equals_transformers() {
    for_every_model(|root, name, backend, device| {
        let (model, arrays) = (load(&root.model(name), device), arrays(root, name));
        for key in ["plain", "padded", "full", "one"] {
            let context = format!("{} {name} {backend} {key}", root.name);
            let case = Case { context, key, arrays: &arrays, mask: mask(&arrays, key) };
            check_batch(&case, &model, &batch(&arrays, key, model.config(), device));
        }
    });
}

fn check_batch(case: &Case<'_>, model: &Gpt2, batch: &Gpt2Batch) {
    let output = model.forward_with(batch, OutputOptions { hidden_states: true, attentions: true });
    let step = if case.key == "full" { 8 } else { 1 };
    let [rows, seq, vocab] = output.logits.dims();
    let logits = host(output.logits);
    let thinned: Vec<f32> = logits
        .chunks_exact(vocab)
        .enumerate()
        .filter(|(at, _)| (at % seq).is_multiple_of(step))
        .flat_map(|(_, row)| row.to_vec())
        .collect();
    assert_eq!(thinned.len(), rows * seq.div_ceil(step) * vocab);
    case.check(&thinned, "logits", LOGITS, &[1]);
    if case.arrays.has(&format!("{}.logits_f64", case.key)) {
        case.check(&thinned, "logits_f64", LOGITS, &[1]);
    }
    if !case.arrays.has(&format!("{}.hidden_states.0", case.key)) {
        return;
    }
    for (i, states) in output.hidden_states.into_iter().enumerate() {
        case.check(&host(states), &format!("hidden_states.{i}"), HIDDEN, &[1]);
    }
    for (i, probabilities) in output.attentions.into_iter().enumerate() {
        case.check(&host(probabilities), &format!("attentions.{i}"), ATTENTIONS, &[2]);
    }
}

#[test]
fn the_loss_equals_transformers() {
    for_every_model(|root, name, backend, device| {
        let (model, arrays) = (load(&root.model(name), device), arrays(root, name));
        for key in ["plain", "padded"] {
            let mut labelled = labelled(&arrays, key, device);
            labelled.input = batch(&arrays, key, model.config(), device);
            let sum = f64::from(clm_loss(&model, &labelled).into_scalar::<f32>());
            let context = format!("{} {name} {backend} {key}", root.name);
            for expected in ["loss", "loss_f64"] {
                let expected = arrays.scalar(&format!("{key}.{expected}"));
                assert_near(&context, sum / labelled.scored as f64, expected, LOSS);
            }
        }
    });
}

/// Ids and labels of a batch.
fn labelled(arrays: &Arrays, key: &str, device: &Device) -> ClmBatch {
    let ids = arrays.ids(&format!("{key}.input_ids"));
    let labels = arrays.rows(&format!("{key}.labels"));
    let examples: Vec<Example> = ids
        .into_iter()
        .zip(labels)
        .map(|(input_ids, labels)| Example { input_ids, labels: Some(labels) })
        .collect();
    ClmBatch::new(&examples.iter().collect::<Vec<_>>(), device).expect("something to predict")
}

#[test]
fn a_batch_that_the_library_pads_equals_the_one_that_transformers_padded() {
    for_every_model(|root, name, backend, device| {
        let (model, arrays) = (load(&root.model(name), device), arrays(root, name));
        let mask = mask(&arrays, "padded").expect("a mask");
        let pads = |row: usize| mask[row].iter().filter(|&&real| !real).count();
        let rows: Vec<Vec<u32>> = arrays
            .ids("padded.input_ids")
            .into_iter()
            .enumerate()
            .map(|(row, ids)| ids[pads(row)..].to_vec())
            .collect();
        let batch = Gpt2Batch::left_padded(&rows, model.config(), device).expect("good rows");
        let context = format!("{} {name} {backend} padded by the library", root.name);
        let case = Case { context, key: "padded", arrays: &arrays, mask: Some(mask) };
        case.check(&host(model.forward(&batch)), "logits", LOGITS, &[1]);
    });
}
