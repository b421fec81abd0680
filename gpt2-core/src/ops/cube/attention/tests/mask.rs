//! The mask of dropout, as a kernel makes it.

use cubecl::prelude::*;

use super::{device, samples, tensor, values};
use crate::ops::cube::mask::{self, Dropout, keep};
use crate::ops::dropout::Mask;

/// Elements of the mask, from the rows beginning with the first on.
#[cube(launch)]
fn elements(to: &mut [f32], first: u32, width: u32, dropout: Dropout) {
    let at = ABSOLUTE_POS;
    if at < to.len() {
        to[at] = keep(&dropout, &mask::place(first + at as u32 / 8, width, at as u32 % 8));
    }
}

#[test]
fn a_kernel_has_the_mask_of_the_host_at_places_of_more_than_32_bits() {
    let Some(device) = device() else { return };
    let host = Mask::new(0xfedc_ba98_7654_3210, 0.4);
    for (first, width) in
        [(0, 8), (5, 4_000_001), (u32::MAX - 20, 65_537), (u32::MAX - 20, u32::MAX)]
    {
        let output = tensor(&samples(128, 1), [128], &device);
        let argument = output.clone().into_buffer_arg();
        let cubes = CubeCount::new_1d(2);
        let dim = CubeDim::new_1d(64);
        elements::launch(&output.client, cubes, dim, argument, first, width, mask::argument(host));
        let expected = (0..128).map(|at| {
            let place = u64::from(first) + at / 8;
            host.at(place % (1 << 32) * u64::from(width) + at % 8)
        });
        assert_eq!(values(output), expected.collect::<Vec<_>>(), "{first}, {width}");
    }
}
