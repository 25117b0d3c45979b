//! Serial number arithmetic (RFC 1982), and the only place that has it.
//!
//! TSNs and MIDs are 32 bits wide, SSNs 16. `a` is before `b` when the shorter way round the
//! circle from `a` to `b` leads forward; numbers half a circle apart are ordered neither way.

/// Whether `a` comes strictly before `b`.
pub(crate) const fn before32(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
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
}
