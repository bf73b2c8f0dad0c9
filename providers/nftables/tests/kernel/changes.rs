//! What changes in the kernel when the desired addresses do.

use tagwall_provider::{Provider, Skeleton};

use crate::support::{admitted, edge, in_namespace, pass, prefixes, wait};

/// From `before` to `after`: the kernel then admits exactly `after`, and the next pass has nothing to do.
fn check(before: &str, after: &str) {
    in_namespace(|| {
        let provider = edge();
        for desired in [before, after] {
            let desired = prefixes(desired);
            pass(&provider, &desired);
            assert_eq!(admitted("edge"), desired);
            let observed = wait(provider.observe()).unwrap();
            assert_eq!((observed.admitted(), observed.skeleton.clone()), (desired.clone(), Skeleton::Intact));
            let (steps, applied) = pass(&provider, &desired);
            assert!(steps.is_empty() && applied.calls == 0, "a second pass does nothing: {steps:?}");
        }
    });
}

#[test]
fn adds() {
    check("192.0.2.0/24", "192.0.2.0/24 198.51.100.0/25 2001:db8::/48");
}

#[test]
fn removes() {
    check("192.0.2.0/24 198.51.100.0/25 2001:db8::/48 2001:db8:1::/48", "198.51.100.0/25 2001:db8::/48");
}

#[test]
fn empties() {
    check("192.0.2.0/24 2001:db8::/48", "");
}

#[test]
fn widens() {
    check("192.0.2.0/25 2001:db8::/48", "192.0.2.0/24 2001:db8::/47");
}

#[test]
fn splits() {
    check("192.0.2.0/24 2001:db8::/47", "192.0.2.0/26 192.0.2.192/26 2001:db8:1::/48");
}

#[test]
fn reaches_the_first_and_last_addresses() {
    check(
        "0.0.0.0/32 255.255.255.255/32 ::/128 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128",
        "0.0.0.0/31 255.255.255.254/31 ::/127 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
    );
}

#[test]
fn admits_everything_and_again_less() {
    check("0.0.0.0/0 ::/0", "128.0.0.0/1 8000::/1");
    check("128.0.0.0/1 8000::/1", "0.0.0.0/0 ::/0");
    check("0.0.0.0/0 ::/0", "0.0.0.0/1 ::/1");
}
