//! The report for machines, version-marked. Counts of addresses are decimal strings: IPv6's do not fit a number.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tagwall_provider::{AddressCount, Admits, PerFamily};

use super::{Class, Outcome, Published, TargetReport};
use crate::reconcile::Purpose;
use crate::source::Freshness;

/// A report, as JSON.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// When the pass began (RFC 3339).
    pub started: String,
    /// Whether nothing was to be changed.
    pub dry_run: bool,
    /// The exit status of the pass.
    pub exit_status: u8,
    /// The publication, or null where none was had.
    pub publication: Option<Publication>,
    /// What came of holding the source against another, where `[source.compare]` names one that had something.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agreement: Option<Agreement>,
    /// The hash of what was planned, by `plan`, or of the saved plan that was applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What an operator should know.
    pub warnings: Vec<String>,
    /// Refusals that an override let through.
    pub overridden: Vec<Refusal>,
    /// Every target.
    pub targets: Vec<Target>,
    /// Objects of ours that no target wants.
    pub orphans: Vec<Orphan>,
    /// Why there was no pass, where there is no target to say it of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

/// A publication.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Publication {
    /// `public`, `us-government` or `china`.
    pub cloud: String,
    /// Microsoft's number for it.
    pub change_number: u64,
    /// The date in its file name (ISO 8601), or null.
    pub date: Option<String>,
    /// Its age in days.
    pub age_days: i64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Where it came from.
    pub origin: String,
    /// `fresh`, `not-modified` or `last-good`.
    pub freshness: String,
    /// Fields of the document that tagwall does not know.
    pub unknown_fields: u64,
}

/// What came of holding the source against another.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Agreement {
    /// The source that is gone by.
    pub source: Compared,
    /// The one that it was held against.
    pub other: Compared,
    /// Whose word counts: always the source's, whole. Nothing is ever made of both.
    pub winner: String,
    /// How many tags are in use.
    pub tags: usize,
    /// Those of them whose addresses differ, or that only one of the two has.
    pub differences: Vec<Difference>,
}

/// A source that was compared.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// `download`, `file`, `url` or `discovery-api`.
    pub kind: String,
    /// Where its publication came from.
    pub origin: String,
    /// The number of its publication. File and API count each for itself.
    pub change_number: u64,
}

/// A tag that two sources do not have alike.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Its name.
    pub tag: String,
    /// Its own change number in the source; null where the source does not have it.
    pub source_change_number: Option<u64>,
    /// Its own change number in the other; null where that does not have it.
    pub other_change_number: Option<u64>,
    /// Addresses that only the source has, as prefixes.
    pub only_in_source: Vec<String>,
    /// Addresses that only the other has, as prefixes.
    pub only_in_other: Vec<String>,
}

/// A target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// `in-sync`, `planned`, `applied`, `refused` or `failed`.
    pub outcome: OutcomeName,
    /// What is done to the rules around the entries, in words.
    pub skeleton: Vec<String>,
    /// Entries that are added: prefixes, rarely ranges `first-last`.
    pub add: Vec<String>,
    /// Entries that are removed.
    pub remove: Vec<String>,
    /// How many of the removed entries lose no address: they are written another way.
    pub reexpressed: usize,
    /// Addresses gained and lost; null without a plan.
    pub addresses: Option<Addresses>,
    /// Prefixes that it admits after the pass, per family; null without a plan.
    pub prefixes: Option<Counts>,
    /// What it admits only because a grace period holds what Microsoft dropped.
    pub held: Vec<Held>,
    /// How many addresses it admits that nobody lists, only to save prefixes; left out where nothing is widened.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub widened: Option<DecimalPerFamily>,
    /// Other people's rules that bear on it, in words.
    pub foreign: Vec<String>,
    /// Why nothing was changed: the first refusal; null unless the outcome is `refused`.
    pub refusal: Option<Refusal>,
    /// Further refusals.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub further_refusals: Vec<Refusal>,
    /// What went wrong; null unless the outcome is `failed`.
    pub error: Option<Error>,
    /// Where the outcome is `refused` or there was no publication: what came of keeping the target at the generation
    /// that it was last enforced with. Null where none is known, or nothing had to be kept.
    pub kept: Option<Kept>,
    /// The generation that the operator pinned it to; null where they did not.
    pub pinned_to: Option<u64>,
}

/// What a grace period holds.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// When it goes: a time (RFC 3339), or after which publication.
    pub until: String,
    /// The prefixes.
    pub prefixes: Vec<String>,
}

/// What came of keeping a target as it was.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Kept {
    /// The generation.
    pub generation: u64,
    /// `in-sync` where nothing had to be done, `applied` where drift was mended.
    pub outcome: OutcomeName,
    /// Entries that are added.
    pub add: Vec<String>,
    /// Entries that are removed.
    pub remove: Vec<String>,
    /// What went wrong, or why it was refused.
    pub error: Option<Error>,
}

/// How a target came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeName {
    /// It admits what it should.
    InSync,
    /// Changes are pending.
    Planned,
    /// Changes were made and read back.
    Applied,
    /// Nothing was changed.
    Refused,
    /// It could not be read or changed.
    Failed,
}

/// Addresses gained and lost.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Addresses {
    /// Addresses admitted after and not before.
    pub gained: DecimalPerFamily,
    /// Addresses admitted before and not after.
    pub lost: DecimalPerFamily,
}

/// A count of addresses per family, as decimal digits.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DecimalPerFamily {
    /// IPv4.
    #[schemars(regex(pattern = r"^[0-9]+$"))]
    pub ipv4: String,
    /// IPv6.
    #[schemars(regex(pattern = r"^[0-9]+$"))]
    pub ipv6: String,
}

/// A count of prefixes per family.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// IPv4.
    pub ipv4: usize,
    /// IPv6.
    pub ipv6: usize,
}

/// A refusal.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    /// The limit, as `--override` names it.
    pub limit: String,
    /// What was found, with its figure.
    pub finding: String,
    /// What the operator can do.
    pub choices: Vec<String>,
    /// Whether `--override` can let it through.
    pub can_be_overridden: bool,
}

/// An error.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Error {
    /// The chain of errors, outermost first.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// What kind of error it is.
    pub class: ErrorClass,
}

/// What kind of error something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorClass {
    /// It may work when tried again soon.
    Transient,
    /// Somebody has to grant something first.
    Denied,
    /// Something else kept changing the target.
    Conflict,
    /// It will not work as it is, however often it is tried.
    Rejected,
    /// It would work, and was refused.
    Refused,
}

/// What there is in place of a report where there was no pass: a bad configuration, a held lock.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoReport {
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    pub schema: u32,
    /// Why.
    pub error: Error,
}

/// What commands with `--format json` print: a report, or why there is none.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "tagwall report")]
#[serde(untagged)]
pub enum Printed {
    /// A report.
    Report(Box<Report>),
    /// An error before there could be one.
    NoReport(NoReport),
}

/// An object of ours that no target wants.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Orphan {
    /// The mark it carries.
    pub mark: String,
    /// What it is and where.
    pub object: String,
}

impl From<&super::Report> for Report {
    fn from(report: &super::Report) -> Self {
        let error = report.outcome_without_targets.as_ref().and_then(trouble);
        Self {
            schema: 1,
            started: report.started.to_string(),
            dry_run: report.purpose != Purpose::Enforce,
            exit_status: report.exit_status().code(),
            publication: report.publication.as_ref().map(Publication::from),
            agreement: report.agreement.as_ref().map(Agreement::from),
            plan: report.plan.clone(),
            warnings: report.warnings.clone(),
            overridden: report.overridden.iter().map(Refusal::from).collect(),
            targets: report.targets.iter().map(Target::from).collect(),
            orphans: report
                .orphans()
                .into_iter()
                .map(|orphan| Orphan { mark: orphan.mark.to_string(), object: orphan.object.clone() })
                .collect(),
            error,
        }
    }
}

impl From<&Published> for Publication {
    fn from(published: &Published) -> Self {
        let freshness = match published.freshness {
            Freshness::Fresh => "fresh",
            Freshness::NotModified => "not-modified",
            Freshness::LastGood { .. } => "last-good",
        };
        Self {
            cloud: published.cloud.name().to_owned(),
            change_number: published.change_number,
            date: published.date.map(|date| date.to_string()),
            age_days: published.age_days,
            sha256: published.sha256.to_string(),
            origin: published.origin.clone(),
            freshness: freshness.to_owned(),
            unknown_fields: published.unknown_fields,
        }
    }
}

impl From<&TargetReport> for Target {
    fn from(report: &TargetReport) -> Self {
        let plan = report.plan();
        let (mut refusals, error) = match &report.outcome {
            Outcome::Refused { refusals, .. } => (refusals.iter().map(Refusal::from).collect(), None),
            Outcome::Failed(failure) => (Vec::new(), Some(Error::from(failure))),
            _ => (Vec::new(), None),
        };
        let further_refusals = refusals.split_off(refusals.len().min(1));
        let texts = |side: &[Admits]| -> Vec<String> { side.iter().map(ToString::to_string).collect() };
        let both = |side: crate::plan::Side| texts(&[side.changing, side.reexpressed].concat());
        Self {
            name: report.target.name.clone(),
            provider: report.target.backend.provider().to_owned(),
            outcome: OutcomeName::from(&report.outcome),
            skeleton: plan
                .map(|plan| plan.steps.skeleton.iter().map(|edit| edit.description.clone()).collect())
                .unwrap_or_default(),
            add: plan.map(|plan| both(plan.added())).unwrap_or_default(),
            remove: plan.map(|plan| both(plan.removed())).unwrap_or_default(),
            reexpressed: plan.map(|plan| plan.removed().reexpressed.len()).unwrap_or_default(),
            addresses: plan.map(|plan| Addresses { gained: plan.gained().into(), lost: plan.lost().into() }),
            prefixes: plan.map(|plan| {
                let counts = PerFamily::from_fn(|family| plan.after.prefix_count(family));
                Counts { ipv4: counts.v4, ipv6: counts.v6 }
            }),
            held: plan
                .map(|plan| {
                    let texts =
                        |held: &tagwall_provider::Held| held.prefixes.prefixes().map(|p| p.to_string()).collect();
                    plan.held().iter().map(|held| Held { until: held.until.clone(), prefixes: texts(held) }).collect()
                })
                .unwrap_or_default(),
            widened: plan
                .map(crate::plan::Plan::widened_addresses)
                .filter(|widened| *widened != PerFamily::default())
                .map(DecimalPerFamily::from),
            foreign: plan
                .map(|plan| plan.observed.foreign.iter().map(|foreign| foreign.description.clone()).collect())
                .unwrap_or_default(),
            refusal: refusals.pop(),
            further_refusals,
            error,
            kept: report.fallback.as_ref().map(Kept::from),
            pinned_to: report.generation.filter(|_| report.pinned),
        }
    }
}

impl From<&Outcome> for OutcomeName {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::InSync(_) => Self::InSync,
            Outcome::Planned(_) => Self::Planned,
            Outcome::Applied(..) => Self::Applied,
            Outcome::Refused { .. } => Self::Refused,
            Outcome::Failed(_) => Self::Failed,
        }
    }
}

impl From<&super::Fallback> for Kept {
    fn from(fallback: &super::Fallback) -> Self {
        let outcome = fallback.outcome.as_ref();
        let plan = outcome.plan();
        let both = |side: crate::plan::Side| [side.changing, side.reexpressed].concat();
        let texts = |side: Vec<Admits>| side.iter().map(ToString::to_string).collect();
        Self {
            generation: fallback.generation,
            outcome: outcome.into(),
            add: plan.map(|plan| texts(both(plan.added()))).unwrap_or_default(),
            remove: plan.map(|plan| texts(both(plan.removed()))).unwrap_or_default(),
            error: trouble(outcome),
        }
    }
}

/// Why an outcome is not what it should be.
fn trouble(outcome: &Outcome) -> Option<Error> {
    match outcome {
        Outcome::Failed(failure) => Some(Error::from(failure)),
        Outcome::Refused { refusals, .. } => refusals.first().map(Error::from),
        _ => None,
    }
}

impl From<PerFamily<AddressCount>> for DecimalPerFamily {
    fn from(counts: PerFamily<AddressCount>) -> Self {
        Self { ipv4: counts.v4.to_string(), ipv6: counts.v6.to_string() }
    }
}

impl From<&tagwall_provider::Refusal> for Refusal {
    fn from(refusal: &tagwall_provider::Refusal) -> Self {
        Self {
            limit: refusal.limit.name().to_owned(),
            finding: refusal.finding.clone(),
            choices: refusal.choices.clone(),
            can_be_overridden: refusal.limit.can_be_overridden(),
        }
    }
}

impl From<&tagwall_provider::Refusal> for Error {
    fn from(refusal: &tagwall_provider::Refusal) -> Self {
        let (message, hint) = (refusal.to_string(), refusal.choices.first().cloned());
        Self { message, hint, class: ErrorClass::Refused }
    }
}

impl From<&super::Failure> for Error {
    fn from(failure: &super::Failure) -> Self {
        let class = match failure.class {
            Class::Transient => ErrorClass::Transient,
            Class::Denied => ErrorClass::Denied,
            Class::Conflict => ErrorClass::Conflict,
            Class::Rejected => ErrorClass::Rejected,
        };
        Self { message: failure.message.clone(), hint: failure.hint.clone(), class }
    }
}
