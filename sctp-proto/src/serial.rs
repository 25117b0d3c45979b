//! Serial number arithmetic (RFC 1982), and the only place that has it.
//!
//! TSNs and MIDs are 32 bits wide, SSNs 16. `a` is before `b` when the shorter way round the
//! circle from `a` to `b` leads forward; numbers half a circle apart are ordered neither way.

use std::ops::RangeInclusive;

/// Whether `a` comes strictly before `b`.
pub(crate) const fn before32(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// The numbers from `first` to `last` on a circle that ends at `most`, in ranges that do not wrap.
pub(crate) fn span(first: u32, last: u32, most: u32) -> impl Iterator<Item = RangeInclusive<u32>> {
    let ranges = match first <= last {
        true => [Some(first..=last), None],
        false => [Some(first..=most), Some(0..=last)],
    };
    ranges.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        assert!(before32(u32::MAX, 0));
        assert!(!before32(0, u32::MAX));
        assert!(!before32(7, 7));
    }

    #[test]
    fn a_span_goes_round_the_circle() {
        let ranges = |first, last| span(first, last, 9).collect::<Vec<_>>();
        assert_eq!(ranges(3, 3), [3..=3]);
        assert_eq!(ranges(3, 7), [3..=7]);
        assert_eq!(ranges(7, 3), [7..=9, 0..=3]);
    }
}
