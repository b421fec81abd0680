//! `precompiled_charsmap`: what is replaced in a text, and by what.

/// A unit that holds a value and no label.
const VALUE: u32 = 1 << 31;
/// A unit whose first child is a value.
const HAS_VALUE: u32 = 1 << 8;
/// Google's library looks at that many rules with a common beginning.
const MOST_RULES: usize = 32;
/// A replacement is no longer than this, in bytes: a hundred times the longest one of NFKC. Without a limit a small text
/// could become one that fills the memory.
const MAX_REPLACEMENT: usize = 4096;
/// What the rules' array is a multiple of, in bytes.
const BLOCK: usize = 1024;

/// Rules of replacement, as Google's library compiles them: a double array of what is replaced, whose values are places
/// of replacements.
///
/// A unit of the array is 32 bits: a label with the way to the unit's children, or (first bit set) a value. A child's
/// place is the way of its parent with the child's byte added modulo 2, and its label has to be that byte.
#[derive(Debug, Clone)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    /// Each with a zero byte behind it.
    replacements: Vec<u8>,
}

impl Charsmap {
    /// Reads `<size of the array: 4 bytes><array><replacements>`.
    ///
    /// # Errors
    /// What is wrong, so that a walk through the array cannot leave it and every replacement is text.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or("the charsmap is cut")?;
        let size = u32::from_le_bytes(*size) as usize;
        if size < BLOCK || !size.is_multiple_of(BLOCK) || size >= rest.len() {
            let length = rest.len();
            return Err(format!("the charsmap has rules of {size} bytes in {length}"));
        }
        let (array, replacements) = rest.split_at(size);
        let text = std::str::from_utf8(replacements)
            .map_err(|_| "the replacements of the charsmap are not UTF-8")?;
        if !text.ends_with('\0') {
            return Err("the replacements of the charsmap are cut".to_string());
        }
        if let Some(long) = text.split('\0').find(|text| text.len() > MAX_REPLACEMENT) {
            let (length, most) = (long.len(), MAX_REPLACEMENT);
            return Err(format!(
                "the charsmap replaces with {length} bytes, expected {most} at most"
            ));
        }
        let (units, _) = array.as_chunks::<4>();
        let units: Vec<u32> = units.iter().map(|unit| u32::from_le_bytes(*unit)).collect();
        check(&units, text).map_err(|reason| format!("charsmap: {reason}"))?;
        Ok(Self { units, replacements: replacements.to_vec() })
    }

    /// Length of what is replaced at the beginning of a text, by the longest rule, and the replacement.
    pub(super) fn prefix(&self, text: &[u8]) -> Option<(usize, &[u8])> {
        let mut children = offset(*self.units.first()?);
        let path = text.iter().map_while(|&byte| {
            let at = children ^ u32::from(byte);
            let unit = *self.units.get(at as usize)?;
            children = at ^ offset(unit);
            let is_child = unit & (VALUE | 0xFF) == u32::from(byte);
            is_child.then_some((unit & HAS_VALUE != 0).then_some(children))
        });
        let found = path.zip(1..).filter_map(|(value, length)| Some((length, value?)));
        let (length, value) = found.take(MOST_RULES).last()?;
        let place = self.units.get(value as usize)? & !VALUE;
        let rest = self.replacements.get(place as usize..)?;
        Some((length, rest.split(|byte| *byte == 0).next()?))
    }

    /// Whether a rule begins with a byte.
    pub(super) fn begins_with(&self, byte: u8) -> bool {
        let Some(root) = self.units.first() else { return false };
        let unit = self.units.get((offset(*root) ^ u32::from(byte)) as usize);
        unit.is_some_and(|unit| unit & (VALUE | 0xFF) == u32::from(byte))
    }
}

/// What Google's library checks, and that replacements begin with a character.
fn check(units: &[u32], replacements: &str) -> Result<(), String> {
    let size = units.len();
    for (at, &unit) in units.iter().enumerate() {
        if unit & VALUE != 0 {
            let value = (unit & !VALUE) as usize;
            if at == 0 || value >= replacements.len() || !replacements.is_char_boundary(value) {
                return Err(format!("unit {at} has the value {value}, which is no replacement"));
            }
            continue;
        }
        let children = at ^ offset(unit) as usize;
        let value_is_missing =
            unit & HAS_VALUE != 0 && units.get(children).is_none_or(|child| child & VALUE == 0);
        if children | 0xFF >= size || value_is_missing {
            return Err(format!("unit {at} of {size} leads nowhere"));
        }
    }
    let root = units.first().copied().unwrap_or(HAS_VALUE);
    if root & (HAS_VALUE | 0xFF) != 0 || offset(root) == 0 {
        return Err("the first unit is no root".to_string());
    }
    Ok(())
}

/// From a unit to its children; a far way is a multiple of 256.
#[inline]
fn offset(unit: u32) -> u32 {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_lead_out_of_the_array_are_refused() {
        let mut good = vec![0_u32; 512];
        good[0] = 1 << 10;
        assert!(check(&good, "日").is_ok());
        for (at, unit, words) in [
            (0, 0, "no root"),
            (0, VALUE, "unit 0"),
            (7, 600 << 10, "unit 7 of 512 leads nowhere"),
            (7, HAS_VALUE, "unit 7 of 512 leads nowhere"),
            (7, VALUE | 5, "the value 5"),
            (7, VALUE | 1, "the value 1"),
        ] {
            let mut bad = good.clone();
            bad[at] = unit;
            let error = check(&bad, "日").unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(check(&[], "").is_err());
    }
}
