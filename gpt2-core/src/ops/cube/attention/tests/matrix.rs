//! The kernels for matrix units, with their products written out.

use super::cached::{Case, FACTOR, HEADS};
use super::reference::Texts;
use super::{assert_near, device, samples, tensor, values};
use crate::ops::causal_attention::Heads;
use crate::ops::cube::attention::backward::Problem;
use crate::ops::cube::attention::forward::Attention;
use crate::ops::cube::attention::matrix::forward::launch;
use crate::ops::cube::attention::matrix::plan::Plan;
use crate::ops::cube::attention::matrix::written_out::WrittenOut;
use crate::ops::cube::attention::matrix::{keys, queries};
use crate::ops::cube::attention::places::Places;
use crate::ops::dropout::Mask;

fn check(seq: usize, plan: Plan, mask: Option<Mask>) {
    let Some(device) = device() else { return };
    let heads = Heads { count: 2, factor: 0.3, mask };
    let texts = Texts { batch: 2, seq, head_dim: plan.head_dim, heads };
    let what = format!("{texts:?}, {plan:?}");
    let embd = texts.embd();
    let numbers = samples(2 * seq * 3 * embd, 1);
    let qkv = tensor(&numbers, [2, seq, 3 * embd], &device);
    let (output, sums) = launch::<WrittenOut>(Attention::packed(qkv.clone(), heads), plan);
    let (expected, logarithms) = texts.forward(&numbers);
    assert_near(&values(output.clone()), &expected, 1e-5, &what);
    assert_near(&values(sums.clone()), &logarithms, 1e-5, &what);

    let upstream = samples(2 * seq * embd, 2);
    let given = tensor(&upstream, [2, seq, embd], &device);
    let problem = Problem::new(given, qkv, sums, heads);
    queries::launch::<WrittenOut>(&problem, output, plan);
    keys::launch::<WrittenOut>(&problem, plan);
    let expected = texts.backward(&numbers, &upstream);
    assert_near(&values(problem.gradient), &expected, 2e-5, &what);
}

#[test]
fn gradients_and_values_of_pieces_equal_the_formulas() {
    let mask = Some(Mask::new(0x1234_5678_9abc_def0, 0.3));
    let plan = |planes, columns, head_dim| Plan { planes, columns, head_dim, size: 4 };
    for (seq, plan, mask) in
        [(1, plan(2, 16, 16), None), (37, plan(2, 16, 16), mask), (70, plan(1, 32, 32), None)]
    {
        check(seq, plan, mask);
    }
}

#[test]
fn pieces_see_what_a_cache_holds() {
    let Some(device) = device() else { return };
    let plan = Plan { planes: 2, columns: 16, head_dim: 16, size: 4 };
    let places = [3..40, 0..21, 9..9, 50..51];
    let case = Case { places: &places, seq: 37, capacity: 60, head_dim: 16 };
    let shape = [places.len(), HEADS, 60, 16];
    let (count, wide) = (shape.iter().product(), 3 * case.embd());
    let [qkv, keys, kept] =
        [(4 * 37 * wide, 3), (count, 4), (count, 5)].map(|(n, seed)| samples(n, seed));
    let given = tensor(&qkv, [4, 37, wide], &device);
    let [keys_there, values_there] = [&keys, &kept].map(|cache| tensor(cache, shape, &device));
    let asked = Places::new(&given, &places);
    let asked = Attention::cached(given, keys_there, values_there, asked, FACTOR);
    let (output, _) = launch::<WrittenOut>(asked, plan);
    assert_near(&values(output), &case.expected(&qkv, &keys, &kept), 1e-5, "cached");
}
