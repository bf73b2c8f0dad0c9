//! What moved between a plan and now, in words. Pure.

use std::collections::BTreeSet;

use super::{DesiredForm, PlanContent, PlannedFrom, PlannedPublication, PlannedTarget, SkeletonForm};
use crate::config::{Config, Origin};
use crate::report::Published;

/// How many entries of one kind are named.
const NAMED: usize = 5;

impl PlanContent {
    /// Whether it is of another owner or another configuration than this: why.
    pub fn other_configuration(&self, config: &Config) -> Option<String> {
        if self.owner != config.owner {
            return Some(format!(
                "the plan is of owner `{}`, and the configuration's owner is `{}`",
                self.owner, config.owner
            ));
        }
        let file = match &config.origin {
            Origin::File(path) => format!("`{}`", path.display()),
            Origin::Defaults => "that there is none".to_owned(),
        };
        let now = config.sha256.map(|sha256| sha256.to_string());
        let hash = |hash: &Option<String>| hash.clone().unwrap_or_else(|| "none".to_owned());
        (self.configuration != now).then(|| {
            format!(
                "the configuration is another: {file} has the hash {}, the plan went by {}",
                hash(&now),
                hash(&self.configuration)
            )
        })
    }

    /// Whether the source has other bytes by now: how.
    pub fn other_publication(&self, now: &Published) -> Option<String> {
        let Some(planned) = &self.publication else {
            return Some("the plan went by no publication: there was none".to_owned());
        };
        let now = PlannedPublication::from(now);
        if (&planned.sha256, &planned.cloud) == (&now.sha256, &now.cloud) {
            return None;
        }
        let what = if planned.cloud != now.cloud {
            format!("the publication of cloud `{}`", now.cloud)
        } else if now.change_number > planned.change_number {
            "a newer publication".to_owned()
        } else if now.change_number < planned.change_number {
            "an older publication".to_owned()
        } else {
            return Some(format!(
                "the source has other bytes than the plan went by, under the same change number {}",
                now.change_number
            ));
        };
        Some(format!("the source has {what}: {now}, and the plan went by {planned}"))
    }

    /// What moved of its targets, a line each. Both are of the same targets.
    pub fn moved_targets(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for planned in &self.targets {
            let of = now.targets.iter().find(|target| target.name == planned.name);
            let moved = of.map_or_else(|| vec!["it is no target any more".to_owned()], |now| planned.moved(now));
            lines.extend(moved.into_iter().map(|what| format!("target `{}`: {what}", planned.name)));
        }
        lines
    }
}

impl std::fmt::Display for PlannedPublication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "change number {}", self.change_number)?;
        self.date.map_or(Ok(()), |date| write!(f, " of {date}"))
    }
}

impl PlannedTarget {
    /// Why nothing of it could be done when it was planned.
    pub fn held_back(&self) -> Option<String> {
        let refused = self.refusals.first().map(|refusal| format!("refused {}: {}", refusal.limit, refusal.finding));
        let why = refused.or_else(|| self.error.clone())?;
        Some(format!("target `{}` could not be planned: {why}", self.name))
    }

    fn moved(&self, now: &Self) -> Vec<String> {
        let timeless = |target: &Self| {
            let mut target = target.clone();
            target.desired.iter_mut().for_each(DesiredForm::forget_when);
            target
        };
        let (planned, now) = (timeless(self), timeless(now));
        if planned == now {
            return Vec::new();
        }
        let mut lines = Vec::new();
        if let (Some(before), Some(after)) = (&planned.observed, &now.observed) {
            lines.extend(before.moved(after));
        }
        if planned.desired != now.desired && now.desired.is_some() {
            lines.push("what it should admit is another by now".to_owned());
        }
        let is_done = now.steps == super::StepsForm::default() && planned.steps != now.steps;
        if is_done && planned.desired == now.desired {
            lines.push("it admits already what the plan would bring it to".to_owned());
        }
        // What is refused by now, or cannot be read, is told by the limit or the error itself.
        if lines.is_empty() && now.held_back().is_none() {
            lines.push("what is to be done is not what the plan says".to_owned());
        }
        lines
    }
}

impl PlannedFrom {
    /// What came and what went since.
    fn moved(&self, now: &Self) -> Vec<String> {
        let (before, after): (BTreeSet<_>, BTreeSet<_>) = (self.entries.iter().collect(), now.entries.iter().collect());
        let mut lines = Vec::new();
        for (entries, verb) in [(after.difference(&before), "came"), (before.difference(&after), "went")] {
            let all: Vec<String> = entries.map(|entry| entry.admits.to_string()).collect();
            let (named, rest) = all.split_at(all.len().min(NAMED));
            let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            if !named.is_empty() {
                lines.push(format!("{}{more} {verb} since", named.join(", ")));
            }
        }
        if self.skeleton != now.skeleton {
            lines.push(match &now.skeleton {
                SkeletonForm::Absent => "its rules are gone".to_owned(),
                SkeletonForm::Intact => "its rules are as they should be by now".to_owned(),
                SkeletonForm::Drifted(how) => format!("its rules were changed: {}", how.join("; ")),
            });
        }
        lines
    }
}
