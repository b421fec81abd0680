//! Where the numbers of a weight lie in its own order.

use super::DepthAxis;
use crate::{Error, Result};

/// The order of a weight: its axes are the depth, which products sum over, and the columns of the product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub depth: usize,
    pub columns: usize,
    pub axis: DepthAxis,
}

impl Order {
    pub fn new([first, last]: [usize; 2], axis: DepthAxis) -> Self {
        match axis {
            DepthAxis::First => Self { depth: first, columns: last, axis },
            DepthAxis::Last => Self { depth: last, columns: first, axis },
        }
    }

    /// Extents of the weight.
    pub fn shape(self) -> [usize; 2] {
        match self.axis {
            DepthAxis::First => [self.depth, self.columns],
            DepthAxis::Last => [self.columns, self.depth],
        }
    }

    /// The same with the depth in groups.
    pub fn in_groups(self, groups: usize) -> Self {
        Self { depth: groups, ..self }
    }

    /// The place of a number.
    pub fn at(self, depth: usize, column: usize) -> usize {
        match self.axis {
            DepthAxis::First => depth * self.columns + column,
            DepthAxis::Last => column * self.depth + depth,
        }
    }
}

/// Refuses another number of values than a shape says, and none.
pub(super) fn check_count(argument: &'static str, found: usize, shape: [usize; 2]) -> Result<()> {
    let expected = shape[0].checked_mul(shape[1]).filter(|&count| count > 0);
    if expected != Some(found) {
        let expected = format!("as many as shape {shape:?} says, at least one");
        return Err(Error::argument(argument, format!("{found} numbers"), expected));
    }
    Ok(())
}
