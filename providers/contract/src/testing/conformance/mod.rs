//! The conformance suite: what every provider must do, tried on a [`Rig`].
//!
//! ```text
//! let report = conformance::run(&mut rig).await;
//! report.assert_conforms(&["over_capacity"]);     // the cases that this firewall has no use for, by name
//! ```

mod bench;
mod changes;
mod failures;
mod others;
mod pass;

use std::fmt;
use std::pin::Pin;

use self::bench::{Bench, Stop, Verdict};
pub use self::pass::{Pass, PassError, pass};
use super::rig::Rig;

type Case = for<'a, 'b> fn(&'a mut Bench<'b>) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// Names each case by its function.
macro_rules! cases {
    ($($file:ident: $($case:ident),+;)+) => {
        const CASES: &[(&str, Case)] = &[$($((stringify!($case), |bench| Box::pin($file::$case(bench)))),+),+];
    };
}

cases! {
    changes: from_absent, second_pass_does_nothing, added, removed, widened, narrowed, split_around_a_hole, replaced,
        re_expressed, one_family_only, a_family_goes_and_comes, nobody, first_and_last_addresses, the_whole_space,
        many_changes, over_capacity, service_tag;
    others: foreign_entry_first, foreign_entry_equal_to_ours, foreign_entry_leaves, foreign_entry_inside_ours,
        another_owners_entry, added_to_ours, removed_from_ours, skeleton_drift, neighbours, withdrawn,
        withdrawn_while_broken, orphans;
    failures: failure_before_each_call, failure_after_each_call, failure_in_withdraw, failure_in_removing_orphans,
        dropped_halfway, conflict_kept_entry_removed, conflict_doomed_entry_removed, conflict_entry_added,
        conflict_same_entry_added, conflict_overlapping_entry_added, conflict_foreign_entry_added,
        conflict_skeleton_broken, two_passes_at_once, applied_twice;
}

/// Runs every case on a fresh firewall each. Nothing stops at a failure.
pub async fn run(rig: &mut dyn Rig) -> Report {
    let mut cases = Vec::new();
    for (name, case) in CASES {
        cases.push(CaseResult { name, outcome: outcome(rig, *case).await });
    }
    Report { cases }
}

/// Runs one case, to look into it.
///
/// # Panics
/// If there is no case of this name.
pub async fn run_one(rig: &mut dyn Rig, name: &str) -> Report {
    let case = CASES.iter().find(|(case, _)| *case == name);
    let &(name, case) = case.unwrap_or_else(|| panic!("there is no case `{name}`"));
    Report { cases: vec![CaseResult { name, outcome: outcome(rig, case).await }] }
}

async fn outcome(rig: &mut dyn Rig, case: Case) -> CaseOutcome {
    let tried = async {
        let mut bench = Bench::new(rig).await?;
        case(&mut bench).await?;
        bench.check_foreign("the case").await
    };
    match tried.await {
        Ok(()) => CaseOutcome::Passed,
        Err(Stop::NotApplicable(why)) => CaseOutcome::NotApplicable(why),
        Err(Stop::Failed(what)) => CaseOutcome::Failed(what),
    }
}

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseOutcome {
    /// As it must.
    Passed,
    /// The firewall has no such thing; why.
    NotApplicable(String),
    /// What was wrong.
    Failed(String),
}

/// One case and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The case.
    pub name: &'static str,
    /// How it ended.
    pub outcome: CaseOutcome,
}

/// How the suite ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Every case, in the order in which they ran.
    pub cases: Vec<CaseResult>,
}

impl Report {
    /// The names of the cases that failed.
    pub fn failed(&self) -> Vec<&'static str> {
        self.names(|outcome| matches!(outcome, CaseOutcome::Failed(_)))
    }

    /// The names of the cases that were not applicable.
    pub fn not_applicable(&self) -> Vec<&'static str> {
        self.names(|outcome| matches!(outcome, CaseOutcome::NotApplicable(_)))
    }

    fn names(&self, wanted: impl Fn(&CaseOutcome) -> bool) -> Vec<&'static str> {
        self.cases.iter().filter(|case| wanted(&case.outcome)).map(|case| case.name).collect()
    }

    /// Asserts that all cases passed, but for those named, which must not have been applicable.
    ///
    /// # Panics
    /// With the whole report, where it is otherwise. The list is exact: a case that becomes applicable, or stops
    /// being, has to be noticed.
    pub fn assert_conforms(&self, not_applicable: &[&str]) {
        assert!(
            self.failed().is_empty() && self.not_applicable() == not_applicable && !self.cases.is_empty(),
            "expected not to be applicable: {not_applicable:?}\n{self}"
        );
    }
}

impl fmt::Display for Report {
    /// A line for each case.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for CaseResult { name, outcome } in &self.cases {
            match outcome {
                CaseOutcome::Passed => writeln!(f, "passed          {name}")?,
                CaseOutcome::NotApplicable(why) => writeln!(f, "not applicable  {name}: {why}")?,
                CaseOutcome::Failed(what) => writeln!(f, "FAILED          {name}: {what}")?,
            }
        }
        Ok(())
    }
}
