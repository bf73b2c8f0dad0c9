//! Chance that can be had again.

/// A small generator (splitmix64): its seed is printed, and taken from `TAGWALL_SEED` where that is set.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn from_environment() -> Self {
        let given = std::env::var("TAGWALL_SEED").ok().map(|seed| seed.parse().unwrap());
        let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        let seed = given.unwrap_or_else(|| u64::try_from(now()).unwrap());
        eprintln!("TAGWALL_SEED={seed} does the same again");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
