//! Whatever comes in place of the kernel's answers, reading it ends and never panics.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| tagwall_nftables::fuzz_parse(bytes));
