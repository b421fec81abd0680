//! Wide arithmetic in safe code, and the two inner loops that everything here is made of.

use std::any::TypeId;

use pulp::{Scalar128b, Simd, WithSimd};

use super::level::{Level, level};

/// Runs a loop compiled for the instructions of this process.
#[inline]
pub(super) fn run<O: WithSimd>(loops: O) -> O::Output {
    run_at(level(), loops)
}

/// Runs a loop compiled for a level, or for the nearest below it that the processor has.
#[inline]
pub(super) fn run_at<O: WithSimd>(level: Level, loops: O) -> O::Output {
    // Not `pulp::Arch`, which knows the highest level only with a feature that would recompile Burn.
    #[cfg(target_arch = "x86_64")]
    {
        if level >= Level::Avx512
            && let Some(simd) = pulp::x86::V4::try_new()
        {
            return Simd::vectorize(simd, loops);
        }
        if level >= Level::Avx2
            && let Some(simd) = pulp::x86::V3::try_new()
        {
            return Simd::vectorize(simd, loops);
        }
    }
    #[cfg(target_arch = "aarch64")]
    if level >= Level::Neon
        && let Some(simd) = pulp::aarch64::Neon::try_new()
    {
        return Simd::vectorize(simd, loops);
    }
    let _ = level;
    Simd::vectorize(Scalar128b, loops)
}

/// `a * b + c`, in one instruction where there is one.
#[inline(always)]
pub(super) fn mul_add<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    // Without that instruction a fused product is a call into the C library.
    if TypeId::of::<S>() == TypeId::of::<Scalar128b>() {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    } else {
        simd.mul_add_e_f32s(a, b, c)
    }
}

/// `sums[m][j] = xs[m] . rows[j]`: each row is read once for all of `xs`.
#[inline(always)]
pub(super) fn dots<S: Simd, const M: usize, const J: usize>(
    simd: S,
    xs: [&[f32]; M],
    rows: [&[f32]; J],
) -> [[f32; J]; M] {
    let wide_rows = rows.map(|row| S::as_simd_f32s(row).0);
    let len = wide_rows[0].len();
    // Equal lengths, told in a way that makes the bounds checks go away.
    let wide_rows = wide_rows.map(|row| &row[..len]);
    let wide_xs = xs.map(|x| &S::as_simd_f32s(x).0[..len]);
    let mut sums = [[simd.splat_f32s(0.0); J]; M];
    for at in 0..len {
        let row: [S::f32s; J] = std::array::from_fn(|j| wide_rows[j][at]);
        for m in 0..M {
            let x = wide_xs[m][at];
            for j in 0..J {
                sums[m][j] = mul_add(simd, x, row[j], sums[m][j]);
            }
        }
    }
    // Loops and not closures, which the compiler would not always inline: a call out of here is
    // compiled for the least of processors.
    let mut found = [[0.0; J]; M];
    for m in 0..M {
        let x_end = S::as_simd_f32s(xs[m]).1;
        for j in 0..J {
            found[m][j] = simd.reduce_sum_f32s(sums[m][j]);
            for (x, row) in x_end.iter().zip(S::as_simd_f32s(rows[j]).1) {
                found[m][j] += x * row;
            }
        }
    }
    found
}

/// `sums[m] += factors[m][0] * rows[0] + factors[m][1] * rows[1] + ..`: each row is read once for
/// all of `sums`.
#[inline(always)]
pub(super) fn add_rows<S: Simd, const M: usize, const K: usize>(
    simd: S,
    factors: [[f32; K]; M],
    rows: [&[f32]; K],
    mut sums: [&mut [f32]; M],
) {
    let row_ends = rows.map(|row| S::as_simd_f32s(row).1);
    for (sum, factors) in sums.iter_mut().zip(factors) {
        for (at, sum) in S::as_mut_simd_f32s(sum).1.iter_mut().enumerate() {
            for k in 0..K {
                *sum += factors[k] * row_ends[k][at];
            }
        }
    }
    let factors = factors.map(|factors| factors.map(|factor| simd.splat_f32s(factor)));
    let rows = rows.map(|row| S::as_simd_f32s(row).0);
    let len = rows[0].len();
    // Equal lengths, told in a way that makes the bounds checks go away.
    let rows = rows.map(|row| &row[..len]);
    let sums = sums.map(|sum| &mut S::as_mut_simd_f32s(sum).0[..len]);
    for at in 0..len {
        let row: [S::f32s; K] = std::array::from_fn(|k| rows[k][at]);
        for m in 0..M {
            let mut sum = sums[m][at];
            for k in 0..K {
                sum = mul_add(simd, factors[m][k], row[k], sum);
            }
            sums[m][at] = sum;
        }
    }
}

/// Numbers that are summed side by side: as many as the widest instructions take.
const LANES: usize = 16;

/// The sum of `term` over two rows, in an order that is the same for all instructions.
#[inline(always)]
pub(super) fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += term(a[lane], b[lane]);
        }
    }
    let done = a.len() - a.len() % LANES;
    for (lane, (&a, &b)) in a[done..].iter().zip(&b[done..]).enumerate() {
        sums[lane] += term(a, b);
    }
    sums.iter().sum()
}

/// `e^x` to within 2 units in the last place, made of what compilers turn into wide instructions.
///
/// Powers of two are split off; what is left goes through the polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to an integer, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // Beyond these, the result is all but 0, or a number that has no successor.
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let power = shifted - ROUND;
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let mut series = 1.987_569_1e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5] {
        series = series * rest + coefficient;
    }
    let mantissa = series * rest * rest + rest + 1.0;
    f32::from_bits(mantissa.to_bits().wrapping_add(shifted.to_bits() << 23))
}
