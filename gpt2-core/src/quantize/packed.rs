//! Whole numbers in the order in which the kernels read them.
//!
//! Columns lie in panels of 64. Within a panel, the depth goes by in steps: of each column four numbers, side by side,
//! in one byte each; or eight, of which the first four are the lower halves of four bytes and the last four the upper
//! ones. A group of a panel is one stretch of memory, and so is a panel.

use half::bf16;

use super::IntFormat;

/// Columns that lie together.
pub(crate) const PANEL: usize = 64;
/// Depth is filled up to a multiple of this with zeros.
const STEP: usize = 8;

/// Extents of a matrix, and how its numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub depth: usize,
    pub columns: usize,
    pub format: IntFormat,
}

impl Shape {
    pub fn groups(self) -> usize {
        self.depth.div_ceil(self.format.group_size())
    }

    pub fn panels(self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// What is added to a number to store it without sign.
    pub fn offset(self) -> i32 {
        1 << (self.format.bits() - 1)
    }

    /// Bytes of a panel, or of some of its depth.
    fn bytes(self, depth: usize) -> usize {
        depth * PANEL * self.format.bits() / 8
    }

    /// The depth with what fills the last step.
    fn padded(self) -> usize {
        self.depth.next_multiple_of(STEP)
    }

    pub(super) fn panel_bytes(self) -> usize {
        self.bytes(self.padded())
    }

    pub(super) fn panel_scales(self) -> usize {
        self.groups() * PANEL
    }

    /// The depth of a group.
    pub(super) fn group(self, group: usize) -> std::ops::Range<usize> {
        let start = group * self.format.group_size();
        start..self.depth.min(start + self.format.group_size())
    }

    /// Where in a panel a number lies, and how far up in its byte.
    fn place(self, depth: usize, column: usize) -> (usize, usize) {
        match self.format {
            IntFormat::Int8 => ((depth / 4 * PANEL + column) * 4 + depth % 4, 0),
            IntFormat::Int4 => ((depth / 8 * PANEL + column) * 4 + depth % 4, depth % 8 / 4 * 4),
        }
    }

    /// What a panel of zeros is filled with.
    pub(super) fn zero(self) -> u8 {
        match self.format {
            IntFormat::Int8 => 0x80,
            IntFormat::Int4 => 0x88,
        }
    }

    /// Writes a group of a column into a panel of zeros.
    pub(super) fn write(self, panel: &mut [u8], column: usize, from: usize, whole: &[i8]) {
        for (depth, &number) in (from..).zip(whole) {
            let (at, shift) = self.place(depth, column);
            // Over the zero that stands there.
            panel[at] ^= ((i32::from(number) + self.offset()) as u8 ^ self.offset() as u8) << shift;
        }
    }
}

/// A matrix as the kernels see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub shape: Shape,
    /// `[panel][step][column]`.
    pub(super) values: &'a [u8],
    /// `[panel][group][column]`.
    pub(super) scales: &'a [bf16],
}

impl<'a> Packed<'a> {
    /// Numbers and scales of a group in a panel.
    #[inline(always)]
    pub fn group(self, panel: usize, group: usize) -> (&'a [u8], &'a [bf16]) {
        let shape = self.shape;
        let size = shape.format.group_size();
        let (start, end) = (group * size, shape.padded().min((group + 1) * size));
        let panel_values = &self.values[panel * shape.panel_bytes()..][..shape.panel_bytes()];
        let scales = &self.scales[(panel * shape.groups() + group) * PANEL..][..PANEL];
        (&panel_values[shape.bytes(start)..shape.bytes(end)], scales)
    }

    /// Whole numbers and scale of one group of a column.
    pub fn read(self, column: usize, group: usize) -> (impl Iterator<Item = i8> + 'a, bf16) {
        let (shape, lane) = (self.shape, column % PANEL);
        let panel = &self.values[column / PANEL * shape.panel_bytes()..][..shape.panel_bytes()];
        let mask = (2 * shape.offset() - 1) as u8;
        let numbers = shape.group(group).map(move |depth| {
            let (at, shift) = shape.place(depth, lane);
            (i32::from(panel[at] >> shift & mask) - shape.offset()) as i8
        });
        (numbers, self.scales[(column / PANEL * shape.groups() + group) * PANEL + lane])
    }
}
