//! Numbers drawn from a hash.

use crate::base::Digest;

/// An endless row of numbers that a digest decides (the SplitMix64 generator, seeded with 64 bits of it).
pub(super) struct Draw(u64);

impl Draw {
    pub(super) fn new(digest: Digest) -> Self {
        Self(digest.low_bits())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let wide = u128::from(self.next()) * (end as u128);
        usize::try_from(wide >> 64).expect("less than `end`, which is a usize")
    }

    /// Returns one of a row that is not empty.
    pub(super) fn one_of<'a, T: ?Sized>(&mut self, row: &[&'a T]) -> &'a T {
        row[self.below(row.len())]
    }

    /// Returns true in `percent` of a hundred draws.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}
