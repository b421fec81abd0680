use super::packed::Packed;
use crate::ops::cpu::samples::numbers;
use crate::ops::dropout::Mask;

const HEADS: usize = 2;

/// The definition, in f64: outputs, and gradients of queries, keys and values, of one head.
struct Exact {
    output: Vec<f64>,
    gradients: [Vec<f64>; 3],
}

struct Case<'a> {
    packed: Packed<'a>,
    gradient: &'a [f32],
}

impl Case<'_> {
    fn exact(&self, row: usize, head: usize) -> Exact {
        let Packed { qkv, seq, heads, head_dim, factor, mask } = self.packed;
        let embd = heads * head_dim;
        let of = |part: usize, token: usize, at: usize| {
            f64::from(qkv[((row * seq + token) * 3 + part) * embd + head * head_dim + at])
        };
        let upstream = |token: usize, at: usize| {
            f64::from(self.gradient[(row * seq + token) * embd + head * head_dim + at])
        };
        let mut exact = Exact {
            output: vec![0.0; seq * head_dim],
            gradients: [(); 3].map(|()| vec![0.0; seq * head_dim]),
        };
        for query in 0..seq {
            let seen = query + 1;
            let dot = |key| (0..head_dim).map(|at| of(0, query, at) * of(1, key, at)).sum::<f64>();
            let powers: Vec<f64> =
                (0..seen).map(|key| (dot(key) * f64::from(factor)).exp()).collect();
            let total = powers.iter().sum::<f64>();
            let kept = |key: usize| {
                let place = ((row * heads + head) * seq + query) * seq + key;
                mask.map_or(1.0, |mask| f64::from(mask.at(place as u64)))
            };
            let pulls: Vec<f64> = (0..seen)
                .map(|key| {
                    kept(key)
                        * (0..head_dim).map(|at| upstream(query, at) * of(2, key, at)).sum::<f64>()
                })
                .collect();
            let common = (0..seen).map(|key| powers[key] / total * pulls[key]).sum::<f64>();
            for key in 0..seen {
                let probability = powers[key] / total;
                let change = probability * (pulls[key] - common) * f64::from(factor);
                for at in 0..head_dim {
                    exact.output[query * head_dim + at] += probability * kept(key) * of(2, key, at);
                    exact.gradients[0][query * head_dim + at] += change * of(1, key, at);
                    exact.gradients[1][key * head_dim + at] += change * of(0, query, at);
                    exact.gradients[2][key * head_dim + at] +=
                        probability * kept(key) * upstream(query, at);
                }
            }
        }
        exact
    }

    fn check(&self, batch: usize) {
        let Packed { seq, head_dim, heads, .. } = self.packed;
        let embd = heads * head_dim;
        // What was in the memory before does not matter.
        let mut output = vec![7.0; batch * seq * embd];
        let mut sums = vec![7.0; batch * heads * seq];
        let mut found = vec![7.0; batch * seq * 3 * embd];
        self.packed.forward(&mut output, &mut sums);
        self.packed.backward(&output, self.gradient, &sums, &mut found);
        let close = |found: f32, exact: f64| {
            // Sums of up to 130 products of numbers below 1.
            assert!((f64::from(found) - exact).abs() < 1e-5, "{found} for {exact}");
        };
        for (row, head) in (0..batch).flat_map(|row| (0..heads).map(move |head| (row, head))) {
            let exact = self.exact(row, head);
            for (token, at) in (0..seq).flat_map(|token| (0..head_dim).map(move |at| (token, at))) {
                let place = |parts: usize, part: usize| {
                    ((row * seq + token) * parts + part) * embd + head * head_dim + at
                };
                close(output[place(1, 0)], exact.output[token * head_dim + at]);
                for part in 0..3 {
                    close(found[place(3, part)], exact.gradients[part][token * head_dim + at]);
                }
            }
        }
    }
}

#[test]
fn blocked_attention_equals_its_definition_forwards_and_backwards() {
    for (batch, seq, head_dim) in [(1, 1, 8), (2, 7, 5), (1, 50, 64), (2, 130, 32), (1, 97, 80)] {
        let embd = HEADS * head_dim;
        let (qkv, gradient) = (numbers(batch * seq * 3 * embd, 1), numbers(batch * seq * embd, 2));
        for mask in [None, Some(Mask::new(99, 0.25))] {
            let factor = 1.5 / (head_dim as f32).sqrt();
            let packed = Packed { qkv: &qkv, seq, heads: HEADS, head_dim, factor, mask };
            Case { packed, gradient: &gradient }.check(batch);
        }
    }
}
