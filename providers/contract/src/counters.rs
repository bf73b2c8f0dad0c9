//! What a firewall counted.

use std::ops::AddAssign;

use crate::PerFamily;

/// What a counter counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes, headers of the network layer included.
    pub bytes: u64,
}

/// What a target's rules let through and dropped since they were last written.
///
/// Changes of entries leave the counts alone; rules that are made or mended begin at zero, as after a reboot.
/// Whoever adds them up over time has to expect them to fall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Admitted because of an entry of each family.
    pub admitted: PerFamily<Traffic>,
    /// Let go on because its connection stood already, whether or not an entry admits it still.
    pub established: Traffic,
    /// Dropped, of both families.
    pub dropped: Traffic,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}
