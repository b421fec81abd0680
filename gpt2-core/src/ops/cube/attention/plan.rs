//! How the work of a cube is divided among its units.

use cubecl::client::Client;

/// Matrix of scores that a cube computes at a time, and the part of it that each unit has in registers.
///
/// Its rows are those whose results the cube adds up (queries, or keys on the way back), its columns the others.
/// Unit `(x, y)` has `height` rows from `y * height` on, and of every `4 * units_x` columns the four from `4 * x` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tile {
    pub units_x: usize,
    pub units_y: usize,
    pub height: usize,
    /// A multiple of 4.
    pub width: usize,
}

/// From the fastest to the one that fits everywhere.
const TILES: [Tile; 9] = [
    Tile { units_x: 8, units_y: 16, height: 4, width: 8 },
    Tile { units_x: 8, units_y: 16, height: 4, width: 4 },
    Tile { units_x: 8, units_y: 8, height: 4, width: 4 },
    Tile { units_x: 8, units_y: 8, height: 2, width: 4 },
    Tile { units_x: 4, units_y: 8, height: 2, width: 4 },
    Tile { units_x: 4, units_y: 8, height: 1, width: 4 },
    Tile { units_x: 2, units_y: 4, height: 1, width: 4 },
    Tile { units_x: 1, units_y: 4, height: 1, width: 4 },
    Tile { units_x: 1, units_y: 2, height: 1, width: 4 },
];

impl Tile {
    pub fn rows(self) -> usize {
        self.units_y * self.height
    }

    pub fn columns(self) -> usize {
        self.units_x * self.width
    }

    pub fn units(self) -> usize {
        self.units_x * self.units_y
    }
}

/// A tile for heads of a size; a constant of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub tile: Tile,
    /// Vectors in a row of a head.
    pub vectors: usize,
}

impl Plan {
    /// Vectors from row to row in shared memory: odd, so that units that read one below the other meet in no bank.
    pub fn stride(self) -> usize {
        self.vectors | 1
    }

    /// Vectors of a result's row that a unit adds up.
    pub fn lanes(self) -> usize {
        self.vectors.div_ceil(self.tile.units_x)
    }
}

/// What a kernel keeps at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    /// Matrices of a tile's rows and of its columns, in shared memory.
    pub rows: usize,
    pub columns: usize,
    /// Matrices of weights, in shared memory; those of scores in registers.
    pub weights: usize,
    pub scores: usize,
    /// Sums of rows in registers.
    pub sums: usize,
}

/// Bytes of shared memory beyond which a GPU has too few cubes at work at a time.
const SHARED: usize = 76 << 10;
/// Numbers that a unit holds in registers.
const REGISTERS: usize = 168;

/// Numbers in a vector of a row of a head.
pub(super) fn vector_size(head_dim: usize) -> usize {
    [4, 2].into_iter().find(|size| head_dim.is_multiple_of(*size)).unwrap_or(1)
}

/// The fastest tile that the device has room for, with no more than twice the rows that there are.
pub(super) fn plan(client: &Client, head_dim: usize, rows: usize, needs: Needs) -> Plan {
    let hardware = &client.properties().hardware;
    let memory = hardware.max_shared_memory_size.min(SHARED);
    choose(memory, hardware.max_units_per_cube as usize, head_dim, rows, needs)
}

fn choose(memory: usize, units: usize, head_dim: usize, rows: usize, needs: Needs) -> Plan {
    let vectors = head_dim / vector_size(head_dim);
    let fits = |plan: &Plan| {
        let Tile { height, .. } = plan.tile;
        shared_bytes(*plan, head_dim, needs) <= memory
            && (height == 1 || registers(*plan, head_dim, needs) <= REGISTERS)
            && plan.tile.units() <= units
            && (plan.tile.rows() < 2 * rows || plan.tile.rows() <= 16)
    };
    let plans = TILES.map(|tile| Plan { tile, vectors });
    plans.into_iter().find(fits).unwrap_or(plans[TILES.len() - 1])
}

fn shared_bytes(plan: Plan, head_dim: usize, needs: Needs) -> usize {
    let (rows, columns) = (plan.tile.rows(), plan.tile.columns());
    let row = plan.stride() * vector_size(head_dim);
    let exchanged = rows * plan.tile.units_x;
    let weights = needs.weights * rows * columns;
    size_of::<f32>() * ((needs.rows * rows + needs.columns * columns) * row + weights + exchanged)
}

fn registers(plan: Plan, head_dim: usize, needs: Needs) -> usize {
    let Tile { height, width, .. } = plan.tile;
    height * (needs.scores * width + needs.sums * plan.lanes() * vector_size(head_dim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_of_any_size_fit_in_16_kib() {
        let needs = Needs { rows: 2, columns: 2, weights: 2, scores: 2, sums: 2 };
        for head_dim in 1..=256 {
            let plan = choose(16 << 10, 256, head_dim, 1024, needs);
            assert!(shared_bytes(plan, head_dim, needs) <= 16 << 10, "{head_dim}: {plan:?}");
        }
    }

    #[test]
    fn a_text_of_a_few_tokens_has_small_tiles() {
        let needs = Needs { rows: 1, columns: 2, weights: 1, scores: 1, sums: 1 };
        let rows = |rows| choose(48 << 10, 1024, 64, rows, needs).tile.rows();
        assert_eq!([rows(1024), rows(33), rows(20), rows(1)], [64, 64, 32, 16]);
    }
}
