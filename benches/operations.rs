//! Every operation that has a faster body, beside its ordinary one, on every device: forward, and forward and backward.
//!
//! `cargo bench -p gpt2-benches --bench operations`; sizes are those of GPT-2 small at 1 x 256 tokens. Devices are those that
//! are present, or the one that `GPT2_TEST_DEVICE` names. A time ends when the device has done its work.

use std::time::Duration;

use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gpt2_benches::devices;
use gpt2_core::Gpt2Config;
use gpt2_core::bench::Shape;
use gpt2_core::config::Activation;
use gpt2_core::ops::{
    self, AdamWParameters, AdamWUpdate, AttentionBias, AttentionScale, DropoutMasks, TokenTable,
    plain,
};

/// Tokens.
const SHAPE: Shape = Shape { batch: 1, seq: 256 };
/// Dropout, where there are gradients.
const DROPOUT: f64 = 0.1;

/// What the operations are applied to.
#[derive(Clone)]
struct Inputs {
    config: Gpt2Config,
    /// `[batch, seq, embd]`.
    x: Tensor<3>,
    /// `[batch, seq, 3 embd]`.
    qkv: Tensor<3>,
    /// `[embd, 4 embd]`.
    weight: Tensor<2>,
    /// `[4 embd]`.
    bias: Tensor<1>,
    /// `[embd, embd]`.
    projection: Tensor<2>,
    /// `[embd]`.
    vector: Tensor<1>,
    /// `[vocab, embd]`.
    table: Tensor<2>,
    /// `[n_positions, embd]`.
    positions: Tensor<2>,
    /// `[batch, seq]`.
    ids: Tensor<2, Int>,
    /// `[1, seq]`.
    places: Tensor<2, Int>,
}

impl Inputs {
    fn new(device: &Device) -> Self {
        let config = Gpt2Config::gpt2();
        let Shape { batch, seq } = SHAPE;
        let embd = config.n_embd;
        let ids = SHAPE.ids(&config).concat().into_iter().map(|id| id as i32).collect();
        Self {
            x: random([batch, seq, embd], device),
            qkv: random([batch, seq, 3 * embd], device),
            weight: random([embd, 4 * embd], device),
            bias: random([4 * embd], device),
            projection: random([embd, embd], device),
            vector: random([embd], device),
            table: random([config.vocab_size, embd], device),
            positions: random([config.n_positions, embd], device),
            ids: Tensor::from_data(TensorData::new::<i32, _>(ids, [batch, seq]), device),
            places: Tensor::arange(0..seq as i64, device).reshape([1, seq]),
            config,
        }
    }
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = Tensor::random(shape, Distribution::Normal(0.0, 0.02), device);
    if device.is_autodiff() { values.require_grad() } else { values }
}

/// Which body of an operation.
#[derive(Debug, Clone, Copy)]
enum Body {
    /// The one that the model runs.
    Fused,
    /// The one that it is a faster form of.
    Plain,
}

/// An operation in one of its bodies; what it gives is flattened.
type Operation = fn(&Inputs, Body) -> Tensor<1>;

const OPERATIONS: [(&str, Operation); 9] = [
    ("layer norm", layer_norm),
    ("linear", linear),
    ("linear + GELU", linear_gelu),
    ("linear + residual", linear_residual),
    ("dropout", dropout),
    ("attention", attention),
    ("embedding", embedding),
    ("head", head),
    ("head + loss", head_and_loss),
];

fn layer_norm(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, weight, bias) = (inputs.x.clone(), inputs.vector.clone(), inputs.vector.clone());
    let epsilon = inputs.config.layer_norm_epsilon;
    flat(match body {
        Body::Fused => ops::layer_norm(x, weight, bias, epsilon),
        Body::Plain => plain::layer_norm(x, weight, bias, epsilon),
    })
}

fn linear(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, weight, bias) = (inputs.x.clone(), inputs.weight.clone(), inputs.bias.clone());
    flat(match body {
        Body::Fused => ops::linear(x, weight, bias),
        Body::Plain => plain::linear(x, weight, bias),
    })
}

fn linear_gelu(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, weight, bias) = (inputs.x.clone(), inputs.weight.clone(), inputs.bias.clone());
    flat(match body {
        Body::Fused => ops::linear_activated(x, weight, bias, Activation::GeluNew),
        Body::Plain => plain::gelu(plain::linear(x, weight, bias)),
    })
}

fn linear_residual(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, weight, bias) = (inputs.x.clone(), inputs.projection.clone(), inputs.vector.clone());
    flat(match body {
        Body::Fused => ops::linear_residual(x.clone(), weight, bias, x),
        Body::Plain => plain::linear(x.clone(), weight, bias) + x,
    })
}

fn dropout(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, masks) = (inputs.x.clone(), &mut DropoutMasks::new(Some(1)));
    flat(match body {
        Body::Fused => ops::dropout(x, DROPOUT, masks),
        Body::Plain => plain::dropout(x, DROPOUT, masks),
    })
}

fn attention(inputs: &Inputs, body: Body) -> Tensor<1> {
    let Inputs { config, qkv, .. } = inputs;
    let (qkv, heads, masks) = (qkv.clone(), config.n_head, &mut DropoutMasks::new(Some(1)));
    let bias = &AttentionBias::causal(SHAPE.seq, None, &qkv.device());
    let factor = 1.0 / ((config.n_embd / heads) as f64).sqrt();
    let scale = AttentionScale { factor, keys_first: false };
    flat(match body {
        Body::Fused => ops::causal_attention(qkv, heads, bias, scale, DROPOUT, masks),
        Body::Plain => plain::causal_attention(qkv, heads, bias, scale, DROPOUT, masks).0,
    })
}

fn embedding(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (tokens, positions) = (inputs.table.clone(), inputs.positions.clone());
    let (ids, places) = (inputs.ids.clone(), inputs.places.clone());
    flat(match body {
        Body::Fused => ops::embedding(TokenTable::new(tokens), positions, ids, places),
        Body::Plain => plain::embedding(tokens, positions, ids, places),
    })
}

fn head(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (x, table) = (inputs.x.clone(), inputs.table.clone());
    flat(match body {
        Body::Fused => ops::scores(x, table),
        Body::Plain => plain::scores(x, table),
    })
}

fn head_and_loss(inputs: &Inputs, body: Body) -> Tensor<1> {
    let (hidden, table) = (inputs.x.clone().flatten(0, 1), inputs.table.clone());
    let targets = inputs.ids.clone().flatten(0, 1);
    match body {
        Body::Fused => ops::linear_cross_entropy(hidden, table, targets, 1.0),
        Body::Plain => plain::linear_cross_entropy(hidden, table, targets, 1.0),
    }
}

fn flat<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    x.flatten(0, D - 1)
}

fn forward(criterion: &mut Criterion) {
    let places = places(Device::inner);
    for (name, operation) in OPERATIONS {
        // Outside of training there is none.
        if name == "dropout" {
            continue;
        }
        let run = |inputs: &mut Inputs, body| operation(inputs, body);
        compare(criterion, &format!("forward: {name}"), places.clone(), run);
    }
}

fn backward(criterion: &mut Criterion) {
    let places = places(Device::autodiff);
    for (name, operation) in OPERATIONS {
        let name = format!("forward and backward: {name}");
        let run = |inputs: &mut Inputs, body| operation(inputs, body).backward();
        compare(criterion, &name, places.clone(), run);
    }
}

/// The devices with the tensors that operations are applied to.
fn places(kind: fn(Device) -> Device) -> Vec<(String, Device, Inputs)> {
    let place = |(name, device): (String, Device)| {
        let inputs = Inputs::new(&kind(device.clone()));
        (name, device, inputs)
    };
    devices().into_iter().map(place).collect()
}

/// A step of AdamW over as many numbers as the token embedding has, where they lie.
fn optimizer(criterion: &mut Criterion) {
    let config = Gpt2Config::gpt2();
    let place = |(name, device): (String, Device)| {
        let numbers = || random([config.vocab_size * config.n_embd], &device);
        let numbers = (numbers(), Some((numbers(), None)));
        (name, device, numbers)
    };
    let update = AdamWUpdate {
        gradient_factor: 0.5,
        beta1: 0.9,
        beta2: 0.999,
        root_factor: 1.0,
        epsilon: 1e-8,
        rate: 1e-3,
        decay: 1.0,
    };
    let places = devices().into_iter().map(place).collect();
    compare(criterion, "optimizer: AdamW", places, |(gradient, state), body| {
        let (value, moments) = state.take().expect("the step before has left it");
        let (value, moments) = match body {
            Body::Fused => {
                let mut parameters = AdamWParameters::new(None);
                parameters.push(value, moments, gradient.clone(), 0, update);
                parameters.step().remove(0).into_parts()
            }
            Body::Plain => plain::adamw(value, moments, gradient.clone(), &update),
        };
        *state = Some((value, Some(moments)));
    });
}

/// Both bodies on each device, one after the other.
fn compare<I, T>(
    criterion: &mut Criterion,
    name: &str,
    places: Vec<(String, Device, I)>,
    run: impl Fn(&mut I, Body) -> T,
) {
    let mut group = criterion.benchmark_group(name);
    for (place, device, mut inputs) in places {
        for body in [Body::Fused, Body::Plain] {
            let body_name = format!("{body:?}").to_lowercase();
            group.bench_function(BenchmarkId::new(body_name, &place), |bencher| {
                bencher.iter(|| {
                    let result = run(&mut inputs, body);
                    device.sync().expect("the device works");
                    result
                });
            });
        }
    }
    group.finish();
}

fn settings() -> Criterion {
    Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500))
}

criterion_group!(name = benches; config = settings(); targets = forward, backward, optimizer);
criterion_main!(benches);
