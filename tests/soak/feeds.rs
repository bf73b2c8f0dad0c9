//! Feeds that fail in every way, one pass after the other: the rules stay, and each pass says why it has nothing new.

use super::daemon::Daemon;
use super::site::Site;
use crate::support::feed::Reply;
use crate::support::feed_document::{document, document_of};
use crate::support::{World, data, with_namespaces};

const PREFIXES: [&str; 3] = ["192.0.2.0/25", "198.51.100.0/24", "2001:db8:1::/48"];
const TAG: &str = "AzureActiveDirectory";

/// An answer in the place of a publication, and what the daemon must say of the pass.
struct Failing {
    name: String,
    reply: Reply,
    says: &'static str,
}

fn failing() -> Option<Vec<Failing>> {
    // Something was had from the feed: the pass goes by the last good publication. Or a publication was, of no use.
    let (stored, refused) = ("from disk", "refused");
    let of = |name: &str, reply, says| Failing { name: name.to_owned(), reply, says };
    let good = document(11, &[(TAG, &PREFIXES)]);
    let mut all: Vec<Failing> =
        data::feed_failures()?.into_iter().map(|(name, body)| of(&name, Reply::ok(body), stored)).collect();
    all.extend(
        [400, 403, 404, 410, 429, 500, 502, 503, 504]
            .map(|status| of(&status.to_string(), Reply::status(status), stored)),
    );
    all.extend([
        of("another host", Reply::redirect("https://evil.example/"), "is not on a pinned host"),
        of("cut short", Reply::cut(good.clone(), good.len() / 2), stored),
        of("no answer", Reply::nothing(), stored),
        of("without end", Reply::endless(vec![b' '; 1 << 20]), "is larger than"),
        of("half a document", Reply::ok(&good.as_bytes()[..good.len() / 2]), stored),
        of("another cloud", Reply::ok(document_of("China", 11, &[(TAG, &PREFIXES)])), refused),
        of("a prefix that is none", Reply::ok(document(11, &[(TAG, &["192.0.2.0/33"])])), stored),
        of("without the tag", Reply::ok(document(11, &[("Storage", &PREFIXES)])), refused),
        of("an empty tag", Reply::ok(document(11, &[(TAG, &[])])), refused),
        of("an older one", Reply::ok(document(9, &[(TAG, &PREFIXES[..2])])), refused),
        of("the whole internet", Reply::ok(document(11, &[(TAG, &["0.0.0.0/0"])])), stored),
        of("much of it", Reply::ok(document(11, &[(TAG, &["198.0.0.0/8"])])), refused),
    ]);
    Some(all)
}

#[test]
fn feed_failures_of_every_kind_for_fifty_passes() {
    with_namespaces(|| {
        let Some(all) = failing() else { return };
        let world = World::empty();
        let site = Site::of(&world);
        site.publish(document(10, &[(TAG, &PREFIXES)]));
        let mut daemon = Daemon::start(&world);
        daemon.says("pass 1 (start");
        let rules = world.ruleset();
        assert!(rules.contains("192.0.2.0/25"), "{rules}");
        for pass in 0..50.max(all.len()) {
            let Failing { name, reply, says } = &all[pass % all.len()];
            // Now the document, now the page as well.
            if pass % 3 == 2 && *says == "from disk" {
                site.fails_altogether(reply);
            } else {
                site.fails(reply.clone());
            }
            let line = daemon.pass();
            // Or, where it was a document and a faulty one, the pass says that it failed.
            assert!(line.contains(says) || line.contains("edge failed"), "pass {pass}, {name}: {line}");
            assert_eq!(world.ruleset(), rules, "pass {pass}, {name}: {line}");
            if pass % 10 == 0 {
                world.host.run("nft", &["flush", "ruleset"]);
                daemon.says("rules made anew");
                assert_eq!(world.ruleset(), rules, "healed after {name}");
            }
        }
        // The feed is well again.
        site.publish(document(12, &[(TAG, &PREFIXES[1..])]));
        let line = daemon.pass();
        assert!(line.contains("edge changed: +0 -1") && line.contains("change number 12"), "{line}");
    });
}
