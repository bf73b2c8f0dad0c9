//! Large sets, in one transaction each, and how many system calls a change takes.

use std::process::Command;

use tagwall_provider::Provider;

use crate::races::many;
use crate::support::{admitted, edge, in_namespace, is_first_user_namespace, pass, prefixes, skip, wait};

#[test]
fn two_hundred_thousand_prefixes() {
    in_namespace(|| {
        let provider = edge();
        let desired = many(200_000);
        if !is_first_user_namespace() {
            return skip("outside the first user namespace a transaction of 8 MB does not fit");
        }
        let (steps, applied) = pass(&provider, &desired);
        assert_eq!((steps.entries.len(), applied.calls), (200_000, 1));
        assert_eq!(admitted("edge"), desired);
        let fewer = many(199_990).union(&prefixes("192.0.2.0/24 2001:db8::/32"));
        let (steps, applied) = pass(&provider, &fewer);
        assert_eq!((steps.entries.len(), applied.calls), (12, 1));
        assert_eq!(wait(provider.observe()).unwrap().admitted(), fewer);
        assert_eq!(wait(provider.withdraw()).unwrap().calls, 1);
    });
}

/// Outside the first user namespace the send buffer is bounded: the error says by what, and nothing is changed.
#[test]
fn too_large_for_the_socket() {
    const INSIDE: &str = "TAGWALL_TEST_SMALL_BUFFER";
    if std::env::var_os(INSIDE).is_none() {
        let status = Command::new("unshare")
            .args(["-Urn", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["bulk::too_large_for_the_socket", "--exact", "--nocapture"])
            .env(INSIDE, "1")
            .env("TAGWALL_TEST_INSIDE", "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }
    // The kernel doubles what is asked for, and an interval takes 40 bytes.
    let bound: usize = std::fs::read_to_string("/proc/sys/net/core/wmem_max").unwrap().trim().parse().unwrap();
    let enough = u32::try_from(bound / 20 + 1000).unwrap();
    let provider = edge();
    // A little less fits: the bound is the one that the hint names.
    pass(&provider, &many(enough - 3000));
    pass(&provider, &many(100));
    let observed = wait(provider.observe()).unwrap();
    let steps = provider.place(&observed, &tagwall_provider::Desired::listed(many(enough))).unwrap();
    let error = wait(provider.apply(&observed.revision, &steps)).unwrap_err();
    assert_eq!(error.class(), "rejected");
    let hint = error.hint().unwrap();
    let raised = hint.split_once("`sysctl -w net.core.wmem_max=").unwrap().1.split_once('`').unwrap().0;
    assert!(raised.parse::<usize>().unwrap() > bound, "{hint}");
    assert_eq!(admitted("edge"), many(100));
}

/// One `sendmsg` for each change, whatever its size; requests are sent with `sendto`.
#[test]
fn one_system_call_for_each_change() {
    const INSIDE: &str = "TAGWALL_TEST_TRACED";
    if std::env::var_os(INSIDE).is_none() {
        let trace = tempfile::NamedTempFile::new().unwrap();
        let status = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=sendmsg", "-o"])
            .arg(trace.path())
            .arg(std::env::current_exe().unwrap())
            .args(["bulk::one_system_call_for_each_change", "--exact", "--nocapture"])
            .env(INSIDE, "1")
            .status();
        let Ok(status) = status else { return skip("there is no strace") };
        assert!(status.success());
        let trace = std::fs::read_to_string(trace.path()).unwrap();
        // `ip` sends with sendmsg as well, to an address.
        let batches = trace.lines().filter(|line| line.contains("sendmsg(") && line.contains("msg_name=NULL")).count();
        assert_eq!(batches, 4, "four changes:\n{trace}");
        return;
    }
    in_namespace(|| {
        let provider = edge();
        let large = if is_first_user_namespace() { 60_000 } else { 1000 };
        pass(&provider, &many(large));
        pass(&provider, &many(large - 10).union(&prefixes("192.0.2.0/24 2001:db8::/32")));
        pass(&provider, &prefixes("192.0.2.0/24"));
        pass(&provider, &prefixes("192.0.2.0/24"));
        wait(provider.withdraw()).unwrap();
    });
}
