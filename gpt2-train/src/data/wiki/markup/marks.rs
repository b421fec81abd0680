//! What the first pass tells the second one, by characters that no text contains: control characters of the text are
//! dropped.

/// Something was dropped here.
pub const GAP: char = '\u{1}';
/// Three apostrophes.
pub const BOLD: char = '\u{2}';
/// Two apostrophes.
pub const ITALIC: char = '\u{3}';
/// Five apostrophes.
pub const BOLD_ITALIC: char = '\u{4}';
/// The line is a heading, if it ends as it begins.
pub const HEADING: char = '\u{5}';
/// The line stands for itself, as an item of a list does.
pub const ITEM: char = '\u{6}';
/// The line is a row of a table, or an argument of a template.
pub const ROW: char = '\u{7}';
/// A `|` between arguments.
pub const BAR: char = '\u{8}';
