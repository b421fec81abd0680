//! `gpt2 forward`: raw tensors in, raw tensors out.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use clap::Args;
use gpt2_core::{Gpt2, Gpt2Batch, Gpt2Config, ModelFolder, OutputOptions};
use gpt2_train::data::ClmBatch;
use gpt2_train::objective::{clm_loss, loss_and_gradients};
use gpt2_train::{Dataset, Example};

use super::load::LoadArgs;
use super::tensors::{Inputs, Named, check_file, read, write};
use super::{Failure, Outcome, check_output};
use crate::args::Global;

/// Options of `gpt2 forward`.
#[derive(Debug, Args)]
pub struct ForwardArgs {
    /// Model folder or hub id
    model: PathBuf,
    /// File to read: `input_ids` [batch, seq] and, if present, `attention_mask`, `position_ids`, `labels`
    #[arg(long, value_name = "I.safetensors")]
    input: PathBuf,
    /// File to write: `logits`, with labels `loss`, and what the switches ask for
    #[arg(long, value_name = "O.safetensors")]
    output: PathBuf,
    /// Write `hidden_states.N`
    #[arg(long)]
    hidden_states: bool,
    /// Write `attentions.N`
    #[arg(long)]
    attentions: bool,
    /// Write `grad.NAME` of the loss for every parameter, under its Hugging Face name
    #[arg(long)]
    gradients: bool,
    #[command(flatten)]
    load: LoadArgs,
}

/// Runs the model once, without dropout.
pub fn run(args: &ForwardArgs, global: &Global) -> Outcome {
    let folder = global.open(&args.model)?;
    check_output(&args.output, &[&args.input])?;
    check_file(&args.output)?;
    let inputs = read(&args.input)?;
    if args.gradients && inputs.labels.is_none() {
        return Err(format!("{}: gradients need `labels`", args.input.display()).into());
    }
    let device = global.device()?;
    let batch = batch(&inputs, folder.config(), &device)
        .map_err(|error| format!("{}: {error}", args.input.display()))?;
    let examples =
        examples(&inputs, &folder).map_err(|error| format!("{}: {error}", args.input.display()))?;
    let model = args.load.model(&folder, &device)?.with_dropout(0.0)?;
    if args.gradients && model.is_compact() {
        return Err("`--gradients` needs weights of f32, and these are in fewer bits".into());
    }
    let options = OutputOptions { hidden_states: args.hidden_states, attentions: args.attentions };
    let output = model.forward_with(&batch, options);
    let mut tensors = vec![named("logits".to_string(), output.logits)?];
    for (layer, hidden) in output.hidden_states.into_iter().enumerate() {
        tensors.push(named(format!("hidden_states.{layer}"), hidden)?);
    }
    for (layer, attention) in output.attentions.into_iter().enumerate() {
        tensors.push(named(format!("attentions.{layer}"), attention)?);
    }
    if let Some(examples) = examples {
        tensors.extend(loss(&model, batch, &examples, args.gradients, &device)?);
    }
    write(&args.output, &tensors)?;
    if global.is_chatty() {
        eprintln!("wrote {}", args.output.display());
    }
    Ok(())
}

/// The loss, as a number without axes, and with `gradients` those of every parameter.
fn loss(
    model: &Gpt2,
    input: Gpt2Batch,
    examples: &[Example],
    gradients: bool,
    device: &Device,
) -> Result<Vec<Named>, Failure> {
    let rows: Vec<&Example> = examples.iter().collect();
    let Some(batch) = ClmBatch::new(&rows, device) else { return Ok(Vec::new()) };
    let batch = ClmBatch { input, ..batch };
    let (loss, found) = match gradients {
        true => loss_and_gradients(model, &batch),
        false => (clm_loss(model, &batch) / batch.scored as f64, Vec::new()),
    };
    let mut tensors = vec![("loss".to_string(), Vec::new(), vec![loss.try_into_scalar()?])];
    for parameter in found {
        let name = format!("grad.{}", parameter.published_name());
        tensors.push((name, parameter.shape.clone(), parameter.to_vec()?));
    }
    Ok(tensors)
}

fn batch(inputs: &Inputs, config: &Gpt2Config, device: &Device) -> Result<Gpt2Batch, Failure> {
    let rows = inputs.input_ids.unsigned("input_ids")?;
    let shape = [rows.len(), rows.first().map_or(0, Vec::len)];
    let mut batch = Gpt2Batch::new(&rows, config, device)?;
    if let Some(mask) = &inputs.attention_mask {
        mask.check_shape("attention_mask", shape)?;
        let flags: Vec<bool> = mask.rows.iter().flatten().map(|&flag| flag != 0).collect();
        batch.attention_mask = Some(Tensor::from_data(TensorData::new(flags, shape), device));
    }
    if let Some(positions) = &inputs.position_ids {
        positions.check_shape("position_ids", shape)?;
        let known = 0..config.n_positions as i64;
        let flat: Vec<i64> = positions.rows.iter().flatten().copied().collect();
        if let Some(wrong) = flat.iter().find(|position| !known.contains(position)) {
            let expected = format!("0 to n_positions - 1 = {}", known.end - 1);
            return Err(format!("`position_ids` holds {wrong}, expected {expected}").into());
        }
        batch.position_ids = Some(Tensor::from_data(TensorData::new(flat, shape), device));
    }
    Ok(batch)
}

/// The labels as training sequences, checked against the model.
fn examples(inputs: &Inputs, folder: &ModelFolder) -> Result<Option<Vec<Example>>, Failure> {
    let Some(labels) = &inputs.labels else { return Ok(None) };
    let ids = inputs.input_ids.unsigned("input_ids")?;
    labels.check_shape("labels", [ids.len(), ids.first().map_or(0, Vec::len)])?;
    let examples: Vec<Example> = ids
        .into_iter()
        .zip(&labels.rows)
        .map(|(input_ids, labels)| Example { input_ids, labels: Some(labels.clone()) })
        .collect();
    Dataset::new("input", examples.clone(), folder.config())?;
    Ok(Some(examples))
}

fn named<const D: usize>(name: String, tensor: Tensor<D>) -> Result<Named, Failure> {
    Ok((name, tensor.dims().to_vec(), tensor.try_into_vec_as()?))
}
