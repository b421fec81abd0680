//! Many tensors in one launch: the cubes of a launch are divided among them.
//!
//! A model has more parameters than a kernel can be given, so a launch takes a group of them. The sizes are far apart
//! (a bias, a table of words), so a tensor has as many cubes as it has parts of a fixed size, and no cube works on two.

use cubecl::client::Client;
use cubecl::prelude::*;

use super::lanes::Lanes;

/// The most tensors of a launch: the kernel's text grows with them.
const MOST: usize = 32;

/// Which tensors of a list go into a launch together: such as are alike, as many as the device has bindings for.
///
/// A tensor takes `bindings` of them, and the kernel has `shared` ones for all.
pub(super) fn groups<K: PartialEq>(
    client: &Client,
    kinds: &[K],
    bindings: usize,
    shared: usize,
) -> Vec<Vec<usize>> {
    let most = most(client, bindings, shared);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, kind) in kinds.iter().enumerate() {
        let is_open = |group: &&mut Vec<usize>| group.len() < most && kinds[group[0]] == *kind;
        match groups.iter_mut().find(is_open) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}

/// The most tensors of a group. One binding may be that of a launch's sizes.
pub(super) fn most(client: &Client, bindings: usize, shared: usize) -> usize {
    let all = client.properties().hardware.max_bindings as usize;
    (all.saturating_sub(shared + 1) / bindings).clamp(1, MOST)
}

/// The parts of the tensors of a group, one a cube.
pub(super) struct Parts {
    /// Vectors of a part.
    length: usize,
    /// Cubes of all tensors up to now.
    pub cubes: usize,
}

impl Parts {
    /// Parts of which each unit of a cube has `steps` vectors.
    pub fn new(lanes: Lanes, steps: usize) -> Self {
        Self { length: steps * lanes.count as usize, cubes: 0 }
    }

    /// The cubes of the next tensor, which has so many vectors.
    pub fn next(&mut self, vectors: usize) -> ShareLaunch {
        let (first, count) = (self.cubes, vectors.div_ceil(self.length));
        self.cubes += count;
        ShareLaunch::new(first, count, vectors, self.length)
    }
}

/// What the cubes of a launch know of one of its tensors.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Share {
    /// The first of its cubes.
    first: usize,
    /// Number of its cubes.
    cubes: usize,
    /// Its vectors.
    vectors: usize,
    /// Vectors of a cube.
    #[cube(comptime)]
    length: usize,
}

#[cube]
impl Share {
    /// Whether it is this cube's tensor.
    pub fn is_mine(&self) -> bool {
        CUBE_POS >= self.first && CUBE_POS < self.first + self.cubes
    }

    /// The part that is this cube's.
    pub fn part(&self) -> usize {
        CUBE_POS - self.first
    }

    /// Where this cube's vectors begin.
    pub fn begin(&self) -> usize {
        self.part() * self.length
    }

    /// Where they end.
    pub fn end(&self) -> usize {
        (self.begin() + self.length).min(self.vectors)
    }
}
