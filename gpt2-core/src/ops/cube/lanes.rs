//! Sums over the units of a cube, which work on one row together.

use cubecl::client::Client;
use cubecl::features::Plane;
use cubecl::prelude::*;

/// The fewest units of a cube, the most, and the most where a row has a cube alone for a whole vocabulary.
const FEWEST: u32 = 32;
const MOST: u32 = 256;
const WIDEST: u32 = 512;
/// Elements of a row that a unit holds, as long as there are more units: the way back of a normalization keeps four
/// numbers for each of them in registers.
const HELD: usize = 16;

/// The units that work on a row, how much each holds of it, and how they add.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lanes {
    /// Units, a power of two.
    pub count: u32,
    /// Vectors of the row that each of them holds.
    pub held: usize,
    /// Units of a plane, if the device adds over planes; 0 otherwise.
    pub plane: u32,
}

impl Lanes {
    /// For rows of a number of columns, which are read in vectors of a width.
    pub(super) fn new(client: &Client, columns: usize, width: usize) -> Self {
        let vectors = columns / width;
        let wanted = columns.div_ceil(HELD);
        let enough = wanted.next_power_of_two().min(MOST as usize);
        let count = (enough as u32).max(FEWEST).min(allowed(client, MOST));
        Self { count, held: vectors.div_ceil(count as usize), plane: plane(client, count) }
    }

    /// As many as there are, for rows that are not held.
    pub(super) fn most(client: &Client) -> Self {
        Self::up_to(client, MOST)
    }

    /// As many as a cube has room for, for rows that are few and long.
    pub(super) fn widest(client: &Client) -> Self {
        Self::up_to(client, WIDEST)
    }

    fn up_to(client: &Client, most: u32) -> Self {
        let count = allowed(client, most);
        Self { count, held: 0, plane: plane(client, count) }
    }

    /// The cube of these units.
    pub(super) fn dim(self) -> CubeDim {
        CubeDim::new_1d(self.count)
    }
}

/// The most units that the device allows, up to a number; a power of two.
fn allowed(client: &Client, most: u32) -> u32 {
    let allowed = client.properties().hardware.max_units_per_cube.clamp(1, most);
    1 << allowed.ilog2()
}

/// Units of the device's planes, if there is one size of them that divides a cube; 0 otherwise.
fn plane(client: &Client, count: u32) -> u32 {
    let properties = client.properties();
    let (least, most) = (properties.hardware.plane_size_min, properties.hardware.plane_size_max);
    let is_known = least == most && count.is_multiple_of(most.max(1));
    if is_known && properties.features.plane.contains(Plane::Ops) { most } else { 0 }
}

/// The sum of one value of each unit, which all of them get. All units of the cube have to call it.
///
/// In a fixed order: sums of groups first, and then of these. The groups are planes where the device adds over them
/// (`plane` is not 0); elsewhere their number and their size are about the same, which takes three barriers where a tree
/// of pairs would take one a level.
///
/// # Shapes
/// - scratch: as long as the cube has units
#[cube]
pub(super) fn sum_of_lanes(
    value: f32,
    scratch: &mut Shared<[f32]>,
    #[comptime] lanes: u32,
    #[comptime] plane: u32,
) -> f32 {
    if comptime!(plane == lanes) {
        plane_sum(value)
    } else {
        let size = comptime!(if plane == 0 { 1 << lanes.ilog2().div_ceil(2) } else { plane });
        let groups = comptime!((lanes / size) as usize);
        let unit = UNIT_POS as usize;
        if comptime!(plane == 0) {
            scratch[unit] = value;
            sync_cube();
            if unit < groups {
                let mut sum = value;
                #[unroll]
                for at in 1..comptime!(size as usize) {
                    sum += scratch[unit + at * groups];
                }
                // Nobody else reads this element before the barrier.
                scratch[unit] = sum;
            }
        } else {
            let sum = plane_sum(value);
            if UNIT_POS.is_multiple_of(plane) {
                scratch[(UNIT_POS / plane) as usize] = sum;
            }
        }
        sync_cube();
        let mut total = 0.0f32;
        #[unroll]
        for at in 0..groups {
            total += scratch[at];
        }
        // Nobody may write the next sum before all have read this one.
        sync_cube();
        total
    }
}
