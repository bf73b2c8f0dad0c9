//! A plan as it is saved, reviewed and applied.
//!
//! A saved plan only ever restrains. `apply` works out what a pass would do now, by today's configuration, source and
//! limits, and goes on where that is what the file says: so a forged file can bring about nothing that `sync` would not
//! do. What ties it to what was reviewed is the hash, given by whoever reviewed it; the one inside the file can be
//! forged with the rest.

use std::path::Path;

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forms::{DesiredForm, EntryForm, SkeletonForm, StepsForm};
use super::{Saved, SavedError, VERSION};
use crate::config::Config;
use crate::limits;
use crate::plan::Plan;
use crate::report::{Outcome, Published, Report, TargetReport};
use crate::source;

mod moved;

/// A saved plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tagwall plan")]
pub struct SavedPlan {
    /// What the file is: `tagwall-plan`.
    #[schemars(regex(pattern = "^tagwall-plan$"))]
    kind: String,
    /// The version of this form: 1.
    #[schemars(range(min = 1, max = 1))]
    version: u32,
    /// The SHA-256 of `content`, in hexadecimal. It tells that the file was altered by accident; who alters it on
    /// purpose writes another.
    pub hash: String,
    /// The version of tagwall that made it.
    tagwall: String,
    /// When it was made (RFC 3339).
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// From when on it is not applied any more, or null.
    #[schemars(with = "Option<String>")]
    pub expires: Option<Timestamp>,
    /// What was planned.
    pub content: PlanContent,
}

/// What was planned: all that its hash is of. No clock, no lock and no version of a firewall is in it, so equal plans
/// have equal hashes, whenever and wherever they were made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanContent {
    /// Whose rules these are.
    pub owner: String,
    /// The SHA-256 of the configuration file, in hexadecimal; null of the defaults.
    pub configuration: Option<String>,
    /// The publication, or null where none was had.
    pub publication: Option<PlannedPublication>,
    /// What the limits of lists were judged by. A list is not here where it had not been accepted before, or was
    /// accepted with the same publication.
    pub limits: Vec<MeasureForm>,
    /// Refusals that an override let through. `apply` has to be told the same override.
    pub overridden: Vec<RefusalForm>,
    /// Every target.
    pub targets: Vec<PlannedTarget>,
}

/// The publication that a plan went by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedPublication {
    /// `public`, `us-government` or `china`.
    cloud: String,
    /// Microsoft's number for it.
    change_number: u64,
    /// The date in its file name.
    #[schemars(with = "Option<String>")]
    date: Option<Date>,
    /// The SHA-256 of its bytes, in hexadecimal.
    sha256: String,
    /// Where it came from.
    source: String,
}

/// What one family of a list was measured to lose and gain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasureForm {
    /// The list.
    list: String,
    /// `IPv4` or `IPv6`.
    family: String,
    /// Its addresses before, in decimal digits.
    addresses: String,
    /// How many of them go.
    lost: String,
    /// How many come.
    gained: String,
    /// Its prefixes before.
    prefixes: usize,
    /// How many of them lose an address.
    prefixes_lost: usize,
    /// The most that may go.
    loss_limit: String,
    /// The most that may come.
    growth_limit: String,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefusalForm {
    /// The limit, as `--override` names it.
    limit: String,
    /// What was found, with its figure.
    finding: String,
}

/// What was planned of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlannedTarget {
    /// Its name.
    pub name: String,
    /// Its provider.
    provider: String,
    /// The firewall object, in words.
    object: String,
    /// `tcp` or `udp`.
    protocol: String,
    /// Its ports.
    ports: Vec<u16>,
    /// What may be changed.
    policy: String,
    /// What the firewall held; null where it could not be read or nothing could be planned.
    observed: Option<PlannedFrom>,
    /// What it should admit; null without a plan.
    desired: Option<DesiredForm>,
    /// What is done, in order.
    steps: StepsForm,
    /// Why nothing may be done.
    refusals: Vec<RefusalForm>,
    /// What went wrong.
    error: Option<String>,
    /// The generation that the operator pinned it to.
    pinned_to: Option<u64>,
}

/// What a firewall held when a plan was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PlannedFrom {
    /// The SHA-256 of what follows.
    hash: String,
    /// What stood around the entries.
    skeleton: SkeletonForm,
    /// The entries.
    entries: Vec<EntryForm>,
}

impl Saved for SavedPlan {
    const KIND: &str = "tagwall-plan";
    const WORDS: &str = "a plan of tagwall";
}

impl SavedPlan {
    /// The plan that a report is of.
    pub fn new(content: PlanContent, created: Timestamp, expires: Option<Timestamp>) -> Self {
        let (kind, tagwall) = (Self::KIND.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self { kind, version: VERSION, hash: content.hash(), tagwall, created, expires, content }
    }

    /// Reads a plan.
    ///
    /// # Errors
    /// [`SavedError`]. That it was altered is none: see [`SavedPlan::is_altered`].
    pub fn read(path: &Path) -> Result<Self, SavedError> {
        super::read(path)
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`SavedError::Io`]
    pub fn write(&self, path: &Path) -> Result<(), SavedError> {
        super::write(self, path)
    }

    /// Whether it is not what its own hash is of.
    pub fn is_altered(&self) -> bool {
        self.hash != self.content.hash()
    }
}

impl PlanContent {
    /// What a report's plans come to, dry run or not.
    pub fn of(report: &Report, config: &Config) -> Self {
        Self {
            owner: config.owner.clone(),
            configuration: config.sha256.map(|sha256| sha256.to_string()),
            publication: report.publication.as_ref().map(PlannedPublication::from),
            limits: report.measures.iter().map(MeasureForm::from).collect(),
            overridden: report.overridden.iter().map(RefusalForm::from).collect(),
            targets: report.targets.iter().map(PlannedTarget::from).collect(),
        }
    }

    /// The SHA-256 of it, in hexadecimal.
    ///
    /// # Panics
    /// Never: it is made of texts, numbers and lists of them.
    pub fn hash(&self) -> String {
        let mut timeless = self.clone();
        let desired = timeless.targets.iter_mut().filter_map(|target| target.desired.as_mut());
        desired.for_each(DesiredForm::forget_when);
        hash(&timeless)
    }
}

/// The hash of a value: that of its JSON without spaces. The fields of a structure have one order, and none of ours is
/// a float.
fn hash(value: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(value).expect("texts, numbers and lists of them are always JSON");
    source::digest(&bytes).to_string()
}

impl From<&Published> for PlannedPublication {
    fn from(published: &Published) -> Self {
        Self {
            cloud: published.cloud.name().to_owned(),
            change_number: published.change_number,
            date: published.date,
            sha256: published.sha256.to_string(),
            source: published.origin.clone(),
        }
    }
}

impl From<&limits::Measure> for MeasureForm {
    fn from(measure: &limits::Measure) -> Self {
        Self {
            list: measure.list.clone(),
            family: measure.family.to_string(),
            addresses: measure.before.to_string(),
            lost: measure.lost.to_string(),
            gained: measure.gained.to_string(),
            prefixes: measure.prefixes,
            prefixes_lost: measure.lost_prefixes,
            loss_limit: measure.loss_limit.clone(),
            growth_limit: measure.growth_limit.clone(),
        }
    }
}

impl From<&tagwall_provider::Refusal> for RefusalForm {
    fn from(refusal: &tagwall_provider::Refusal) -> Self {
        Self { limit: refusal.limit.name().to_owned(), finding: refusal.finding.clone() }
    }
}

impl From<&TargetReport> for PlannedTarget {
    fn from(report: &TargetReport) -> Self {
        let (plan, target) = (report.plan(), &report.target);
        let (refusals, error) = match &report.outcome {
            Outcome::Refused { refusals, .. } => (refusals.iter().map(RefusalForm::from).collect(), None),
            Outcome::Failed(failure) => (Vec::new(), Some(failure.message.clone())),
            _ => (Vec::new(), None),
        };
        Self {
            name: target.name.clone(),
            provider: target.backend.provider().to_owned(),
            object: target.backend.object(),
            protocol: target.protocol.name().to_owned(),
            ports: target.ports.clone(),
            policy: target.policy.name().to_owned(),
            observed: plan.map(PlannedFrom::from),
            desired: plan.map(|plan| DesiredForm::from(&plan.desired)),
            steps: plan.map(|plan| StepsForm::from(&plan.steps)).unwrap_or_default(),
            refusals,
            error,
            pinned_to: report.generation.filter(|_| report.pinned),
        }
    }
}

impl From<&Plan> for PlannedFrom {
    fn from(plan: &Plan) -> Self {
        let skeleton = SkeletonForm::from(&plan.observed.skeleton);
        let entries: Vec<EntryForm> = plan.observed.entries.iter().map(EntryForm::from).collect();
        Self { hash: hash(&(&skeleton, &entries)), skeleton, entries }
    }
}

#[cfg(test)]
mod tests;
