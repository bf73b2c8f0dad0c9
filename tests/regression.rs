//! Faults that were found, one test each, named for what went wrong.

use crate::support::{Addresses, EDGE, World, assert_same, many, strs, with_namespaces};

/// A publication that every list refused counted as accepted: when it was taken back, the good one before it was
/// refused as older.
#[test]
fn a_refused_publication_does_not_make_its_predecessor_older() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        world.expect(3, "sync");
        world.feed(10, &[("AzureActiveDirectory", &strs(&all))]);
        world.expect(0, "sync");
        // One that was gone by does.
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[1..]))]);
        world.expect(0, "sync");
        world.feed(10, &[("AzureActiveDirectory", &strs(&all))]);
        let run = world.expect(3, "sync");
        assert!(run.stdout.contains("refused older-publication"), "{}", run.stdout);
    });
}

/// Where the state was lost, a loss was refused once, by what the target admits. The list counted as accepted all
/// the same, and the next pass let the loss through.
#[test]
fn a_loss_measured_against_the_target_is_refused_every_time() {
    with_namespaces(|| {
        let all = many(32);
        let world = World::edge(&strs(&all));
        world.expect(0, "sync");
        std::fs::remove_dir_all(world.path("state")).unwrap();
        world.feed(11, &[("AzureActiveDirectory", &strs(&all[8..]))]);
        for _ in 0..3 {
            let run = world.expect(3, "sync");
            assert!(run.stdout.contains("refused loss: target `edge`"), "{}", run.stdout);
        }
        assert_same(&world.admitted("edge"), &Addresses::of(strs(&all)), "edge");
        // Nor does a pass that never got to see the target, or another target's alone, count.
        let second = format!("{EDGE}[targets.more]\nlists = [\"entra\"]\nports = [9443]\nnftables = {{}}\n");
        world.config(&second);
        world.expect(0, "sync --target more");
        world.expect(3, "sync --target edge");
        world.expect(3, "sync");
        world.expect(0, "sync --override loss --reason because");
        assert_same(&world.admitted("edge"), &Addresses::of(strs(&all[8..])), "edge");
    });
}

/// A list that the operator put in place of another, or beside it, was measured against what the target admitted,
/// and refused.
#[test]
fn the_operators_own_edit_trips_no_limit() {
    with_namespaces(|| {
        let (one, two) = (many(4), many(40));
        let world = World::empty();
        world.feed(10, &[("One", &strs(&one[..1])), ("Two", &strs(&two[20..])), ("Three", &["192.0.2.0/24"])]);
        let lists = |lists: &str, rest: &str| {
            world.config(&format!(
                "[lists.one]\ntags = [\"One\"]\n[lists.two]\ntags = [\"Two\"]\n[lists.three]\ntags = [\"Three\"]\n\
                 [targets.edge]\nlists = [{lists}]\nnftables = {{}}\n{rest}"
            ));
        };
        world.config("[lists.one]\ntags = [\"One\"]\n[targets.edge]\nlists = [\"one\"]\nnftables = {}\n");
        world.expect(0, "sync");
        // More, fewer, others; known to the state and not.
        for edit in ["\"one\", \"two\"", "\"two\"", "\"one\"", "\"three\"", "\"one\""] {
            lists(edit, "");
            world.expect(2, "sync -n");
            world.expect(0, "sync");
        }
        world.config("[lists.new]\ntags = [\"Two\"]\n[targets.edge]\nlists = [\"new\"]\nnftables = {}\n");
        world.expect(0, "sync");
        world.config("[lists.new]\ntags = [\"Three\"]\nexclude = [\"192.0.2.0/25\"]\n[targets.edge]\nlists = [\"new\"]\nnftables = {}\n");
        world.expect(0, "sync");
        assert_same(&world.admitted("edge"), &Addresses::of(["192.0.2.128/25"]), "edge");
    });
}
