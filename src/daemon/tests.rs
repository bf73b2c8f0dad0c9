//! The loop over passes that are scripted, in paused time; and the real passes over firewalls in memory.

mod clocks;
mod drift;
mod fake;
mod life;
mod live;
