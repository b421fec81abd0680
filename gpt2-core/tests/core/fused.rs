//! Fused operations against their ordinary bodies, with gradients.

use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, Tolerance};
use gpt2_core::config::Activation;
use gpt2_core::ops::{self, AttentionBias, AttentionScale, DropoutMasks, TokenTable, plain};

use crate::common::{devices, numbers};

/// Rows and columns: one, odd, around the widths of instructions, tasks and chunks.
const SIZES: [[usize; 2]; 6] = [[1, 1], [3, 7], [17, 65], [33, 48], [70, 131], [260, 96]];

fn assert_same<const D: usize>(found: Tensor<D>, expected: Tensor<D>, context: &str) {
    assert_eq!(found.dims(), expected.dims(), "{context}");
    let [found, expected] = [found, expected].map(Tensor::into_data);
    let most = expected.iter::<f32>().fold(1.0, |most: f32, value| most.max(value.abs()));
    let off = found.iter::<f32>().zip(expected.iter::<f32>()).map(|(a, b)| (a - b).abs());
    let off = off.fold(0.0, f32::max);
    assert!(off <= 2e-5 * most, "{context}: {off} of {most}");
    // The largest difference says nothing of numbers that are none.
    found.assert_approx_eq::<f32>(&expected, Tolerance::absolute(f64::from(2e-5 * most)));
}

fn leaf<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    numbers(shape, seed, device).autodiff().require_grad()
}

/// A loss whose gradient by `output` has no two equal elements, and its gradients.
fn derived<const D: usize>(output: &Tensor<D>) -> Gradients {
    let weights = numbers(output.dims(), 99, &output.device().inner()).autodiff();
    (output.clone() * weights).sum().backward()
}

fn assert_gradient<const D: usize>(
    leaf: &Tensor<D>,
    found: &Gradients,
    expected: &Gradients,
    context: &str,
) {
    assert_same(leaf.grad(found).unwrap(), leaf.grad(expected).unwrap(), context);
}

fn ids<const D: usize>(shape: [usize; D], rows: usize, device: &Device) -> Tensor<D, Int> {
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|at| (at * at * 7 + at / 3) % rows).map(|id| id as i32);
    Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
}

#[test]
fn layer_norm_equals_its_parts() {
    for device in devices() {
        for [rows, columns] in SIZES {
            let context = format!("{device:?} {rows} x {columns}");
            let x = leaf([1, rows, columns], 1, &device);
            let [weight, bias] = [2, 3].map(|seed| leaf([columns], seed, &device));
            let run = |function: fn(Tensor<3>, Tensor<1>, Tensor<1>, f64) -> Tensor<3>| {
                // Far from 0, where a variance by squares alone would be lost.
                function(x.clone() * 3.0 + 50.0, weight.clone(), bias.clone(), 1e-5)
            };
            let [found, expected] = [run(ops::layer_norm), run(plain::layer_norm)];
            assert_same(found.clone().inner(), expected.clone().inner(), &context);
            let [found, expected] = [derived(&found), derived(&expected)];
            assert_gradient(&x, &found, &expected, &context);
            assert_gradient(&weight, &found, &expected, &context);
            assert_gradient(&bias, &found, &expected, &context);
        }
    }
}

#[test]
fn products_equal_their_parts() {
    for device in devices() {
        for [rows, columns] in SIZES {
            let depth = 2 * columns + 1;
            let context = format!("{device:?} {rows} x {depth} x {columns}");
            let x = leaf([1, rows, depth], 1, &device);
            let weight = leaf([depth, columns], 2, &device);
            let bias = leaf([columns], 3, &device);
            let residual = leaf([1, rows, columns], 4, &device);
            let given = || (x.clone(), weight.clone(), bias.clone());
            let product = || plain::linear(x.clone(), weight.clone(), bias.clone());
            let pairs = {
                let (a, b, c) = given();
                let (d, e, f) = given();
                let (g, h, i) = given();
                [
                    (ops::linear(a, b, c), product()),
                    (ops::linear_residual(d, e, f, residual.clone()), product() + residual.clone()),
                    (ops::linear_activated(g, h, i, Activation::GeluNew), plain::gelu(product())),
                ]
            };
            for (at, (found, expected)) in pairs.into_iter().enumerate() {
                let context = format!("{context} {at}");
                assert_same(found.clone().inner(), expected.clone().inner(), &context);
                let [found, expected] = [derived(&found), derived(&expected)];
                assert_gradient(&x, &found, &expected, &context);
                assert_gradient(&weight, &found, &expected, &context);
                assert_gradient(&bias, &found, &expected, &context);
                if at == 1 {
                    assert_gradient(&residual, &found, &expected, &context);
                }
            }
            let table = leaf([columns, depth], 5, &device);
            let found = ops::scores(x.clone(), table.clone());
            let expected = plain::scores(x.clone(), table.clone());
            assert_same(found.clone().inner(), expected.clone().inner(), &context);
            let [found, expected] = [derived(&found), derived(&expected)];
            assert_gradient(&x, &found, &expected, &context);
            assert_gradient(&table, &found, &expected, &context);
        }
    }
}

#[test]
fn what_is_frozen_has_no_gradient_and_the_others_the_same() {
    for device in devices() {
        for trained in 1..16u32 {
            let context = format!("{device:?} {trained:04b}");
            let is_trained = |at: u32| trained & (1 << at) != 0;
            let x = leaf([2, 9, 12], 1, &device).set_require_grad(is_trained(0));
            let weight = leaf([12, 20], 2, &device).set_require_grad(is_trained(1));
            let bias = leaf([20], 3, &device).set_require_grad(is_trained(2));
            let residual = leaf([2, 9, 20], 4, &device).set_require_grad(is_trained(3));
            let (a, b, c) = (x.clone(), weight.clone(), bias.clone());
            let found = derived(&ops::linear_residual(a, b, c, residual.clone()));
            let (a, b, c) = (x.clone(), weight.clone(), bias.clone());
            let expected = derived(&(plain::linear(a, b, c) + residual.clone()));
            let check = |at, found: Option<TensorData>, expected: Option<TensorData>| {
                assert_eq!(found.is_some(), is_trained(at), "{context} {at}");
                if let (Some(found), Some(expected)) = (found, expected) {
                    found.assert_approx_eq::<f32>(&expected, Tolerance::absolute(1e-4));
                }
            };
            let data = |tensor: Tensor<3>| tensor.into_data();
            check(0, x.grad(&found).map(data), x.grad(&expected).map(data));
            let two = |tensor: Tensor<2>| tensor.into_data();
            check(1, weight.grad(&found).map(two), weight.grad(&expected).map(two));
            let one = |tensor: Tensor<1>| tensor.into_data();
            check(2, bias.grad(&found).map(one), bias.grad(&expected).map(one));
            check(3, residual.grad(&found).map(data), residual.grad(&expected).map(data));
        }
    }
}

#[test]
fn gelu_alone_equals_its_parts() {
    for device in devices() {
        let edges = Tensor::<1>::from_floats([-1e12, -40.0, -12.0, 0.0, 12.0, 40.0, 1e12], &device);
        let x = Tensor::cat(vec![numbers([20_001], 5, &device) * 9.0, edges], 0);
        let x = x.autodiff().require_grad();
        let found = ops::activate(x.clone(), Activation::GeluNew);
        let expected = plain::gelu(x.clone());
        let middle = |tensor: Tensor<1>| tensor.narrow(0, 0, 20_001);
        assert_same(middle(found.clone().inner()), middle(expected.clone().inner()), "values");
        let [found, expected] = [found, expected].map(|output| {
            let gradients = output.sum().backward();
            x.grad(&gradients).unwrap()
        });
        assert_same(middle(found.clone()), middle(expected), "gradient");
        let ends: Vec<f32> = found.narrow(0, 20_001, 7).try_into_vec_as().unwrap();
        assert_eq!(ends, [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0]);
    }
}

#[test]
fn dropout_has_the_masks_of_its_parts() {
    for device in devices() {
        for shape in [[1, 1, 1], [1, 3, 7], [2, 33, 257], [3, 100, 200]] {
            let [x, residual] = [1, 2].map(|seed| leaf(shape, seed, &device));
            let masks = || DropoutMasks::new(Some(11));
            let (found, expected) = (
                ops::dropout(x.clone(), 0.3, &mut masks()),
                plain::dropout(x.clone(), 0.3, &mut masks()),
            );
            found.clone().into_data().assert_eq(&expected.clone().into_data(), true);
            let [found, expected] = [found, expected].map(|output| derived(&output));
            let [found, expected] = [found, expected].map(|all| x.grad(&all).unwrap().into_data());
            found.assert_eq(&expected, true);

            let found = ops::dropout_residual(x.clone(), residual.clone(), 0.3, &mut masks());
            let expected = plain::dropout(x.clone(), 0.3, &mut masks()) + residual.clone();
            found.clone().into_data().assert_eq(&expected.clone().into_data(), true);
            let [found, expected] = [found, expected].map(|output| derived(&output));
            for leaf in [x, residual] {
                let gradient = |all: &Gradients| leaf.grad(all).unwrap().into_data();
                gradient(&found).assert_eq(&gradient(&expected), true);
            }
        }
    }
}

#[test]
fn embeddings_equal_their_parts() {
    for device in devices() {
        for (batch, positions_of) in [(1, 1), (3, 1), (3, 3)] {
            let (seq, vocab, embd) = (21, 50, 33);
            let tokens = leaf([vocab, embd], 1, &device);
            let positions = leaf([30, embd], 2, &device);
            let ids = ids([batch, seq], vocab, &device.clone().autodiff());
            let places = self::ids([positions_of, seq], 30, &device.clone().autodiff());
            let table = TokenTable::new(tokens.clone());
            let found = ops::embedding(table, positions.clone(), ids.clone(), places.clone());
            let expected = plain::embedding(tokens.clone(), positions.clone(), ids, places);
            found.clone().into_data().assert_eq(&expected.clone().into_data(), true);
            let [found, expected] = [found, expected].map(|output| derived(&output));
            assert_gradient(&tokens, &found, &expected, "tokens");
            assert_gradient(&positions, &found, &expected, "positions");
        }
    }
}

#[test]
fn head_and_loss_equal_their_parts() {
    for device in devices() {
        for (rows, vocab, embd) in [(1, 1, 3), (5, 61, 7), (256, 130, 33), (600, 1100, 16)] {
            let context = format!("{device:?} {rows} x {vocab} x {embd}");
            let hidden = leaf([rows, embd], 1, &device);
            let table = leaf([vocab, embd], 2, &device);
            let targets = ids([rows], vocab, &device.clone().autodiff());
            let (a, b) = (hidden.clone(), table.clone());
            let found = ops::linear_cross_entropy(a, b, targets.clone(), 0.25);
            let (a, b) = (hidden.clone(), table.clone());
            let expected = plain::linear_cross_entropy(a, b, targets.clone(), 0.25);
            assert_same(found.clone().inner(), expected.clone().inner(), &context);
            // An upstream of 1, and another one.
            for factor in [1.0, 3.0] {
                let scaled = |loss: Tensor<1>| match factor {
                    1.0 => loss.backward(),
                    _ => (loss * factor).backward(),
                };
                let given = || (hidden.clone(), table.clone(), targets.clone());
                let (a, b, c) = given();
                let found = scaled(ops::linear_cross_entropy(a, b, c, 0.25));
                let (a, b, c) = given();
                let expected = scaled(plain::linear_cross_entropy(a, b, c, 0.25));
                assert_gradient(&hidden, &found, &expected, &context);
                assert_gradient(&table, &found, &expected, &context);
            }
            let (loss, hits) = ops::linear_cross_entropy_and_hits(
                hidden.clone().inner(),
                table.clone().inner(),
                targets.clone().inner(),
            );
            let logits = plain::scores(hidden.inner(), table.inner());
            let expected = ops::token_accuracy(logits.clone(), targets.clone().inner());
            assert_eq!(hits.into_scalar::<i64>(), expected.into_scalar::<i64>(), "{context}");
            assert_same(loss, ops::cross_entropy(logits, targets.inner()), &context);
        }
    }
}

#[test]
fn equal_logits_hit_at_the_first_of_them() {
    for device in devices() {
        let hidden = Tensor::<2>::ones([3, 4], &device);
        let table = Tensor::<2>::ones([40, 4], &device);
        let targets = Tensor::<1, Int>::from_data([0, 1, 39], &device);
        let (_, hits) = ops::linear_cross_entropy_and_hits(hidden, table, targets);
        assert_eq!(hits.into_scalar::<i64>(), 1);
    }
}

#[test]
fn a_loss_of_what_is_no_number_is_none() {
    for device in devices() {
        for bad in [f32::NAN, f32::INFINITY] {
            let hidden = Tensor::<2>::from_data([[1.0, 2.0], [bad, 1.0]], &device);
            let table = numbers([40, 2], 1, &device);
            let targets = Tensor::<1, Int>::from_data([3, 4], &device);
            let loss = ops::linear_cross_entropy(hidden, table, targets, 1.0);
            assert!(loss.into_scalar::<f32>().is_nan());
        }
    }
}

#[test]
fn a_tied_table_has_one_gradient_for_both_uses() {
    for device in devices() {
        let (vocab, embd) = (50, 33);
        let tokens = leaf([vocab, embd], 1, &device);
        let positions = leaf([30, embd], 2, &device);
        let autodiff = device.clone().autodiff();
        let (given, places) = (ids([2, 21], vocab, &autodiff), ids([1, 21], 30, &autodiff));
        let targets = ids([42], vocab, &autodiff);
        let loss = |table: TokenTable, head: Tensor<2>| {
            let x = ops::embedding(table, positions.clone(), given.clone(), places.clone());
            ops::linear_cross_entropy(x.reshape([42, embd]), head, targets.clone(), 0.5)
        };
        let expected = loss(TokenTable::new(tokens.clone()), tokens.clone()).backward();
        // Twice, since the first pass must leave nothing behind.
        for _ in 0..2 {
            let table = TokenTable::tied(tokens.clone());
            let found = loss(table.clone(), table.weight.clone()).backward();
            assert_gradient(&tokens, &found, &expected, "tokens");
            assert_gradient(&positions, &found, &expected, "positions");
        }
        // A frozen one has none, and stands in nobody's way.
        let frozen = tokens.clone().detach();
        let table = TokenTable::tied(frozen);
        let found = loss(table.clone(), table.weight.clone()).backward();
        assert_gradient(&positions, &found, &expected, "positions");
        assert!(tokens.grad(&found).is_none());
    }
}

/// Small and large: below and above where threads share the work.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let gradients = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = &devices()[0];
            let x = leaf([1, 300, 192], 1, device);
            let [weight, bias] = [2, 3].map(|seed| leaf([192], seed, device));
            let matrix = leaf([192, 192], 4, device);
            let table = leaf([700, 192], 5, device);
            let autodiff = device.clone().autodiff();
            let (given, places) = (ids([1, 300], 700, &autodiff), ids([1, 300], 192, &autodiff));
            let tokens = TokenTable::tied(table.clone());
            let head = tokens.weight.clone();
            let x1 = x.clone() + ops::embedding(tokens, matrix.clone(), given, places);
            let x2 = ops::layer_norm(x1, weight.clone(), bias.clone(), 1e-5);
            let x3 = ops::linear_activated(x2, matrix.clone(), bias.clone(), Activation::GeluNew);
            let x4 = ops::dropout(x3, 0.1, &mut DropoutMasks::new(Some(1)));
            let targets = ids([300], 700, &autodiff);
            let loss = ops::linear_cross_entropy(x4.reshape([300, 192]), head, targets, 0.1);
            let all = loss.clone().backward();
            let two = |leaf: &Tensor<2>| leaf.grad(&all).unwrap().into_data();
            let one = |leaf: &Tensor<1>| leaf.grad(&all).unwrap().into_data();
            let x = x.grad(&all).unwrap().into_data();
            [loss.into_data(), x, two(&matrix), two(&table), one(&weight), one(&bias)]
        })
    };
    let alone = gradients(1);
    for threads in [2, 3] {
        for (found, expected) in gradients(threads).iter().zip(&alone) {
            found.assert_eq(expected, true);
        }
    }
}

#[test]
fn attention_equals_its_parts() {
    for device in devices() {
        // The last heads are wider than the kernels of GPUs take.
        let sizes = [(1, 1, 1, 3), (2, 9, 3, 5), (2, 70, 2, 32), (1, 5, 1, 300)];
        for (batch, seq, heads, head_dim) in sizes {
            for p in [0.0, 0.4] {
                let context = format!("{device:?} {batch} x {seq} x {heads} x {head_dim} {p}");
                let qkv = leaf([batch, seq, 3 * heads * head_dim], 1, &device);
                let bias = AttentionBias::causal(seq, None, &device.clone().autodiff());
                let scale = AttentionScale { factor: 0.7, keys_first: false };
                let masks = || DropoutMasks::new(Some(5));
                let x = qkv.clone();
                let found = ops::causal_attention(x, heads, &bias, scale, p, &mut masks());
                let x = qkv.clone();
                let parts = plain::causal_attention(x, heads, &bias, scale, p, &mut masks()).0;
                assert_same(found.clone().inner(), parts.clone().inner(), &context);
                let [found, expected] = [derived(&found), derived(&parts)];
                assert_gradient(&qkv, &found, &expected, &context);
            }
        }
    }
}

#[test]
fn an_mlp_equals_its_parts_and_frozen_weights_have_no_gradient() {
    for device in devices() {
        for (rows, embd, p, frozen) in
            [(3, 5, 0.0, 9), (70, 33, 0.3, 9), (70, 33, 0.0, 3), (20, 16, 0.3, 1)]
        {
            let context = format!("{device:?} {rows} x {embd} {p} {frozen}");
            let trained = |at: usize| at != frozen;
            let x = leaf([1, rows, embd], 1, &device).set_require_grad(trained(0));
            let c_fc = leaf([embd, 4 * embd], 2, &device).set_require_grad(trained(1));
            let c_fc_bias = leaf([4 * embd], 3, &device).set_require_grad(trained(2));
            let c_proj = leaf([4 * embd, embd], 4, &device).set_require_grad(trained(3));
            let c_proj_bias = leaf([embd], 5, &device);
            let residual = leaf([1, rows, embd], 6, &device);
            let masks = || DropoutMasks::new(Some(8));
            let weights = ops::MlpWeights {
                c_fc: c_fc.clone(),
                c_fc_bias: c_fc_bias.clone(),
                c_proj: c_proj.clone(),
                c_proj_bias: c_proj_bias.clone(),
            };
            let (a, b) = (x.clone(), residual.clone());
            let found = ops::mlp(a, weights, Activation::GeluNew, b, p, &mut masks());
            let inner = plain::linear(x.clone(), c_fc.clone(), c_fc_bias.clone());
            let output = plain::linear(plain::gelu(inner), c_proj.clone(), c_proj_bias.clone());
            let expected = match p {
                0.0 => output + residual.clone(),
                _ => plain::dropout(output, p, &mut masks()) + residual.clone(),
            };
            assert_same(found.clone().inner(), expected.clone().inner(), &context);
            let [found, expected] = [derived(&found), derived(&expected)];
            assert_gradient(&residual, &found, &expected, &context);
            assert_gradient(&c_fc_bias, &found, &expected, &context);
            assert_gradient(&c_proj_bias, &found, &expected, &context);
            assert_gradient(&x, &found, &expected, &context);
            for (at, weight) in [(1, &c_fc), (3, &c_proj)] {
                match trained(at) {
                    true => assert_gradient(weight, &found, &expected, &context),
                    false => assert!(weight.grad(&found).is_none(), "{context}"),
                }
            }
        }
    }
}
