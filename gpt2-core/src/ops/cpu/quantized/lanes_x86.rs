//! Vectors of columns on x86-64.

// `pulp` has no safe name for one instruction.
#![allow(unsafe_code)]

use core::arch::x86_64::{__m256i, __m512i, _mm512_dpbusd_epi32};

use pulp::cast;
use pulp::x86::V3;

use super::lanes::Lanes;

pulp::simd_type! {
    /// AVX-512 with its dot product of bytes.
    pub(super) struct Vnni {
        pub avx: "avx",
        pub avx2: "avx2",
        pub fma: "fma",
        pub avx512f: "avx512f",
        pub avx512bw: "avx512bw",
        pub avx512dq: "avx512dq",
        pub avx512vl: "avx512vl",
        pub avx512vnni: "avx512vnni",
    }
}

impl Lanes for Vnni {
    const WIDTH: usize = 16;
    type Sums = __m512i;
    type Weights = __m512i;
    type Inputs = __m512i;

    #[inline(always)]
    fn splat(self, value: i32) -> __m512i {
        self.avx512f._mm512_set1_epi32(value)
    }

    #[inline(always)]
    fn bytes(self, packed: &[u8]) -> __m512i {
        cast(first::<u8, 64>(packed))
    }

    #[inline(always)]
    fn nibbles(self, packed: &[u8]) -> [__m512i; 2] {
        let (both, mask) = (self.bytes(packed), self.avx512f._mm512_set1_epi32(0x0F0F_0F0F));
        let high = self.avx512f._mm512_srli_epi32::<4>(both);
        [both, high].map(|half| self.avx512f._mm512_and_si512(half, mask))
    }

    #[inline(always)]
    fn inputs(self, packed: u32) -> __m512i {
        self.avx512f._mm512_set1_epi32(packed as i32)
    }

    #[inline(always)]
    fn dot(self, sums: __m512i, weights: __m512i, inputs: __m512i) -> __m512i {
        // SAFETY: a value of this type is made only where the processor has all features in its list.
        unsafe { _mm512_dpbusd_epi32(sums, weights, inputs) }
    }

    #[inline(always)]
    fn add_scaled(self, out: &mut [f32], sums: __m512i, scales: &[f32], factor: f32) {
        let scales = cast(first::<f32, 16>(scales));
        let part = self.avx512f._mm512_mul_ps(self.avx512f._mm512_cvtepi32_ps(sums), scales);
        let part = self.avx512f._mm512_mul_ps(part, self.avx512f._mm512_set1_ps(factor));
        let sum = self.avx512f._mm512_add_ps(cast(first::<f32, 16>(out)), part);
        out[..16].copy_from_slice(&cast::<_, [f32; 16]>(sum));
    }
}

/// Four bytes of each column as 16-bit numbers: the first and the third of them, the second and the fourth.
impl Lanes for V3 {
    const WIDTH: usize = 8;
    type Sums = __m256i;
    type Weights = [__m256i; 2];
    type Inputs = [__m256i; 2];

    #[inline(always)]
    fn splat(self, value: i32) -> __m256i {
        self.avx._mm256_set1_epi32(value)
    }

    #[inline(always)]
    fn bytes(self, packed: &[u8]) -> [__m256i; 2] {
        let four = cast(first::<u8, 32>(packed));
        let even = self.avx2._mm256_and_si256(four, self.avx._mm256_set1_epi32(0x00FF_00FF));
        [even, self.avx2._mm256_srli_epi16::<8>(four)]
    }

    #[inline(always)]
    fn nibbles(self, packed: &[u8]) -> [[__m256i; 2]; 2] {
        let mask = self.avx._mm256_set1_epi32(0x000F_000F);
        let low = |bytes| self.avx2._mm256_and_si256(bytes, mask);
        let [even, odd] = self.bytes(packed);
        let high = |bytes| self.avx2._mm256_srli_epi16::<4>(bytes);
        [[low(even), low(odd)], [high(even), high(odd)]]
    }

    #[inline(always)]
    fn inputs(self, packed: u32) -> [__m256i; 2] {
        let four = self.avx._mm256_set1_epi32(packed as i32);
        let even = self.avx2._mm256_srai_epi16::<8>(self.avx2._mm256_slli_epi16::<8>(four));
        [even, self.avx2._mm256_srai_epi16::<8>(four)]
    }

    #[inline(always)]
    fn dot(self, sums: __m256i, weights: [__m256i; 2], inputs: [__m256i; 2]) -> __m256i {
        let even = self.avx2._mm256_madd_epi16(weights[0], inputs[0]);
        let odd = self.avx2._mm256_madd_epi16(weights[1], inputs[1]);
        self.avx2._mm256_add_epi32(sums, self.avx2._mm256_add_epi32(even, odd))
    }

    #[inline(always)]
    fn add_scaled(self, out: &mut [f32], sums: __m256i, scales: &[f32], factor: f32) {
        let scales = cast(first::<f32, 8>(scales));
        let part = self.avx._mm256_mul_ps(self.avx._mm256_cvtepi32_ps(sums), scales);
        let part = self.avx._mm256_mul_ps(part, self.avx._mm256_set1_ps(factor));
        let sum = self.avx._mm256_add_ps(cast(first::<f32, 8>(out)), part);
        out[..8].copy_from_slice(&cast::<_, [f32; 8]>(sum));
    }
}

/// The first `N` of a slice.
#[inline(always)]
fn first<T: Copy, const N: usize>(slice: &[T]) -> [T; N] {
    slice.as_chunks().0[0]
}
