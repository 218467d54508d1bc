//! Random moments from one seed, which is printed: `WEFT_SEED` repeats it.

use std::time::Duration;

/// The moments.
#[derive(Debug)]
pub struct Moments(u64);

impl Default for Moments {
    fn default() -> Self {
        let given = std::env::var("WEFT_SEED").ok().map(|seed| seed.parse().expect("WEFT_SEED is a number"));
        let seed = given.unwrap_or_else(|| u64::from(u32::from_be_bytes(weft_hub::clock::random())));
        eprintln!("moments of the kills: WEFT_SEED={seed}");
        Self(seed)
    }
}

impl Moments {
    /// A number below `end` (SplitMix64).
    ///
    /// # Panics
    /// When there is none.
    pub fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((bits ^ (bits >> 31)) % u64::from(end)).expect("below a number of 32 bits")
    }

    /// A pause of at most so many milliseconds.
    pub fn pause(&mut self, longest_ms: u32) -> Duration {
        Duration::from_millis(self.below(longest_ms).into())
    }
}
