//! The conformance suite: what every provider must do, tried on a [`Rig`].
//!
//! ```text
//! let report = conformance::run(&mut rig).await;
//! report.assert_conforms(&["over_capacity"]);     // the cases that this firewall has no use for, by name
//! ```

use std::fmt;

use super::rig::Rig;

/// Runs every case on a fresh firewall each. Nothing stops at a failure.
pub async fn run(rig: &mut dyn Rig) -> Report {
    rig.reset().await;
    Report { cases: Vec::new() }
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
