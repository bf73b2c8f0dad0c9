//! Thousands of passes over real publications: what the daemon holds does not grow.

use std::time::Duration;

use super::daemon::{Daemon, Figures};
use super::fraction;
use super::site::{Real, Site};
use crate::support::feed::Reply;
use crate::support::{World, data, with_namespaces};

/// How many publications come round. Figures are of a whole round.
const ROUND: usize = 50;

/// 400 passes, and 20,000 with `TAGWALL_SOAK`; anonymous memory around the last is within 5 % of that around the
/// 200th (or the 2,000th), descriptors and threads are the same.
#[test]
fn memory_descriptors_and_threads_stay_as_they_are() {
    with_namespaces(|| {
        let (Some(publications), Some(bodies)) = (Real::newest(ROUND), data::feed_failures()) else { return };
        let (passes, warm) = (fraction(400, 20_000), fraction(200, 2_000));
        let world = World::empty();
        let site = Site::of(&world);
        site.publish(publications[0].numbered(1000));
        let mut daemon = Daemon::start(&world);
        daemon.says("pass 1 (start");
        let (mut costs, mut warmed) = (Vec::new(), None);
        for pass in 1..=passes {
            match pass % 10 {
                // What is no publication, and somebody who flushes the ruleset.
                3 => site.fails(Reply::ok(bodies[pass / 10 % bodies.len()].1.clone())),
                _ => site.publish(publications[pass % ROUND].numbered(1000 + pass)),
            }
            if pass % 10 == 7 {
                world.host.run("nft", &["flush", "ruleset"]);
            }
            let line = daemon.pass();
            let right = if pass % 10 == 3 { "from disk" } else { "change number" };
            assert!(
                line.contains(right) && !line.contains("failed") && !line.contains("refused"),
                "pass {pass}: {line}"
            );
            costs.push(daemon.figures());
            let round = &costs[costs.len().saturating_sub(ROUND)..];
            if pass % (passes / 20) == 0 {
                eprintln!("after {pass} passes, of the last {}: {:?}", round.len(), Costs::of(round));
            }
            if pass == warm {
                warmed = Some((Costs::of(round), at_rest(&daemon)));
            }
        }
        let ((warmed, rested), last) = (warmed.unwrap(), Costs::of(&costs[costs.len() - ROUND..]));
        let growth = last.anonymous as f64 / warmed.anonymous as f64 - 1.0;
        eprintln!("anonymous memory grew by {:.1} % from pass {warm} to pass {passes}", growth * 100.0);
        assert!(growth < 0.05, "it grew by {:.1} %: {warmed:?}, {last:?}", growth * 100.0);
        let rests = at_rest(&daemon);
        assert_eq!((rests.descriptors, rests.threads), (rested.descriptors, rested.threads));
    });
}

/// Figures of a daemon that has nothing to do: threads that only wait for files stay for ten seconds.
fn at_rest(daemon: &Daemon) -> Figures {
    std::thread::sleep(Duration::from_secs(12));
    daemon.figures()
}

/// What the passes of a round cost.
#[derive(Debug)]
#[expect(dead_code, reason = "the processor's time is there to be shown")]
struct Costs {
    /// The fewest after a pass, in KiB: what a pass used is given back in steps of 128, and a leak never is.
    anonymous: u64,
    /// The fewest: some are there for a moment, by design.
    descriptors: usize,
    threads: u64,
    /// Of the processor for a pass, in milliseconds.
    milliseconds: u64,
}

impl Costs {
    fn of(round: &[Figures]) -> Self {
        let ticks = round[round.len() - 1].ticks - round[0].ticks;
        Self {
            anonymous: round.iter().map(|figures| figures.anonymous).min().unwrap(),
            descriptors: round.iter().map(|figures| figures.descriptors).min().unwrap(),
            threads: round.iter().map(|figures| figures.threads).min().unwrap(),
            milliseconds: ticks * 10 / round.len() as u64,
        }
    }
}
