//! The numbers of an H200, as `cudaDeviceProp` has them.

use std::ffi::{CStr, c_int, c_uint};

pub const NAME: &CStr = c"NVIDIA H200 (stand-in: no device)";
/// 141 GB, less what the driver keeps.
pub const DEVICE_BYTES: usize = 150_000_000_000;
/// Shared memory of a block, and what it can ask for.
pub const SHARED_BYTES: c_int = 48 << 10;
pub const SHARED_BYTES_ON_REQUEST: c_int = 227 << 10;

const MAX_THREADS: c_uint = 1024;
const MAX_BLOCK: [c_uint; 3] = [1024, 1024, 64];
const MAX_GRID: [c_uint; 3] = [i32::MAX as c_uint, 65_535, 65_535];

/// The value of a `CUdevice_attribute`; 1, which is "yes" for most, where nothing is said.
pub fn attribute(which: c_int) -> c_int {
    let [[bx, by, bz], [gx, gy, gz]] = [MAX_BLOCK, MAX_GRID].map(|of| of.map(|most| most as c_int));
    match which {
        1 => MAX_THREADS as c_int,
        2 => bx,
        3 => by,
        4 => bz,
        5 => gx,
        6 => gy,
        7 => gz,
        8 => SHARED_BYTES,
        10 => 32,     // warp
        12 => 65_536, // registers of a block
        16 => 132,    // multiprocessors
        39 => 2048,   // threads of a multiprocessor
        75 => 9,      // compute capability
        76 => 0,
        81 => 228 << 10, // shared memory of a multiprocessor
        97 => SHARED_BYTES_ON_REQUEST,
        _ => 1,
    }
}

pub fn grid_fits(grid: [c_uint; 3]) -> bool {
    grid.iter().zip(MAX_GRID).all(|(&found, most)| found > 0 && found <= most)
}

pub fn block_fits(block: [c_uint; 3]) -> bool {
    let each = block.iter().zip(MAX_BLOCK).all(|(&found, most)| found > 0 && found <= most);
    each && block.iter().product::<c_uint>() <= MAX_THREADS
}
