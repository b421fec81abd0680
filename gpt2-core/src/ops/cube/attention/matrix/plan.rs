//! Whether a device has what the kernels on matrix units need, and how they divide their work.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::features::MmaConfig;
use cubecl::ir::{ElemType, FloatKind};

use super::units::{PIECE, PLANE};
use crate::ops::cube::attention::launch::element;

/// Numbers between the end of a row in shared memory and the next: rows one below the other begin in other banks.
const GAP: usize = 8;
/// The longest rows of a head: registers hold a result's row.
const LONGEST: usize = 128;

/// How the work of a cube is divided; a constant of the kernel.
///
/// Each plane has 16 rows (queries, or keys on the way back) and goes through the others, `columns` at a time; two units
/// have a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Plan {
    pub planes: usize,
    pub columns: usize,
    pub head_dim: usize,
    /// Numbers of a vector in memory.
    pub size: usize,
}

impl Plan {
    pub fn rows(self) -> usize {
        self.planes * PIECE
    }

    pub fn units(self) -> usize {
        self.planes * PLANE
    }

    /// Vectors in a row of a head.
    pub fn vectors(self) -> usize {
        self.head_dim / self.size
    }

    /// Numbers from row to row of queries, keys and values in shared memory.
    pub fn stride(self) -> usize {
        self.head_dim + GAP
    }

    /// Numbers from row to row of weights.
    pub fn weights_stride(self) -> usize {
        self.columns + GAP
    }

    /// Numbers from row to row of scores, and of what comes out.
    pub fn scores_stride(self) -> usize {
        self.columns.max(self.head_dim) + GAP
    }
}

/// What a kernel keeps in shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Matrices of a tile's rows and of its columns.
    pub rows: usize,
    pub columns: usize,
    pub weights: usize,
    pub scores: usize,
}

/// A plan for heads of a size, where the device has the units, and for that type of numbers.
pub fn plan(qkv: &CubeTensor, head_dim: usize, needs: Needs) -> Option<Plan> {
    let properties = qkv.client.properties();
    let kind = match qkv.dtype {
        DType::F16 | DType::BF16 => element(qkv),
        _ => return None,
    };
    let piece = PIECE as u32;
    let wanted = MmaConfig {
        a_type: kind,
        b_type: kind,
        cd_type: ElemType::Float(FloatKind::F32),
        m: piece,
        n: piece,
        k: piece,
    };
    let hardware = &properties.hardware;
    let plane = PLANE as u32;
    if !properties.features.matmul.cmma.contains(&wanted)
        || (hardware.plane_size_min, hardware.plane_size_max) != (plane, plane)
        || !head_dim.is_multiple_of(PIECE)
        || head_dim > LONGEST
    {
        return None;
    }
    let size = if hardware.max_vector_size >= 8 { 8 } else { 4 };
    let plans = [4, 2].map(|planes| Plan { planes, columns: 32, head_dim, size });
    let bytes = qkv.dtype.size();
    plans.into_iter().find(|plan| plan.shared(bytes, needs) <= hardware.max_shared_memory_size)
}

impl Plan {
    /// Bytes of shared memory, for numbers of so many bytes.
    fn shared(self, bytes: usize, needs: Needs) -> usize {
        let rows = self.rows();
        let tiles = (needs.rows * rows + needs.columns * self.columns) * self.stride();
        let weights = needs.weights * rows * self.weights_stride();
        let scores = needs.scores * rows * self.scores_stride();
        // Two numbers of each row and column at most are passed on beside.
        let others = 2 * rows + 2 * self.columns;
        bytes * (tiles + weights) + size_of::<f32>() * (scores + others)
    }
}
