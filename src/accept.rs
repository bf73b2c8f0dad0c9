//! Whether a publication may be gone by, judged against the ones accepted before.

use std::collections::{BTreeMap, BTreeSet};

use tagwall_provider::{Limit, PrefixSet, Refusal};

use crate::chain::chain;
use crate::config::{Config, List};
use crate::desired;
use crate::limits::Measure;
use crate::source::{self, Digest, LastGood, Publication, Tag};
use crate::state::State;

/// The key in the state of publications that are numbered alike: of one cloud and one kind of source.
pub fn numbering(settings: &source::Settings) -> String {
    format!("{}/{}", settings.cloud, settings.kind.name())
}

/// Judges a publication as a whole: `wrong-cloud` and `older-publication`. Yields a warning where there is cause for one.
///
/// # Errors
/// The refusal.
pub fn judge_publication(publication: &Publication, config: &Config, state: &State) -> Result<Option<String>, Refusal> {
    let wanted = config.source.cloud;
    if publication.cloud != wanted {
        return Err(wrong_cloud(wanted.document_name(), publication.cloud.document_name()));
    }
    let Some(accepted) = state.accepted.get(&numbering(&config.source)) else { return Ok(None) };
    if publication.change_number < accepted.change_number {
        return Err(Refusal {
            limit: Limit::OlderPublication,
            finding: format!(
                "the publication has change number {}, the last one accepted had {}",
                publication.change_number, accepted.change_number
            ),
            choices: vec![
                "a cache or a mirror may serve an old file: try again later".to_owned(),
                "Microsoft's own number has fallen twice, in 2020: compare with its page".to_owned(),
            ],
        });
    }
    let same_number = publication.change_number == accepted.change_number;
    Ok((same_number && publication.sha256 != accepted.sha256).then(|| {
        format!(
            "change number {} stands for other bytes than before; the new ones are taken",
            publication.change_number
        )
    }))
}

/// The refusal of a publication of another cloud.
pub fn wrong_cloud(wanted: &str, found: &str) -> Refusal {
    Refusal {
        limit: Limit::WrongCloud,
        finding: format!("the publication is of cloud `{found}`, the configuration asks for `{wanted}`"),
        choices: vec![
            "Microsoft once served another cloud's file for a day: try again later".to_owned(),
            "set `cloud` in `[source]` if the other cloud is meant".to_owned(),
        ],
    }
}

/// The publications that lists were last accepted with.
///
/// Changes are measured from there, with today's configuration on both sides, so that what the operator edits
/// trips no limit.
#[derive(Debug, Default)]
pub struct Baselines {
    of_lists: BTreeMap<String, Digest>,
    /// Of each document the tags of today's lists.
    documents: BTreeMap<Digest, Vec<Tag>>,
}

impl Baselines {
    /// Reads what is needed of the accepted documents. One that is lost or damaged is said and done without.
    pub fn load(
        config: &Config,
        current: &Publication,
        last_good: &LastGood,
        state: &State,
        warnings: &mut Vec<String>,
    ) -> Self {
        let mut baselines = Self::default();
        let wanted = config.lists.values().flat_map(|list| &list.tags).map(String::as_str).collect();
        for name in config.lists.keys() {
            let Some(digest) = state.lists.get(name).map(|record| record.sha256) else { continue };
            if digest != current.sha256 && !baselines.documents.contains_key(&digest) {
                match read(last_good, digest, &wanted) {
                    Ok(tags) => {
                        baselines.documents.insert(digest, tags);
                    }
                    Err(reason) => {
                        warnings.push(format!(
                            "the publication that list `{name}` was last accepted with cannot be read ({reason}): \
                             changes are measured against what the targets admit"
                        ));
                        continue;
                    }
                }
            }
            baselines.of_lists.insert(name.clone(), digest);
        }
        baselines
    }

    /// Whether a list has a publication to be measured against.
    pub fn has(&self, list: &str) -> bool {
        self.of_lists.contains_key(list)
    }

    /// Judges the step of a list from its accepted publication to the current one, `loss` and `growth`, with the
    /// figures that it was judged by.
    pub fn judge(&self, list: &List, current: &Publication) -> (Vec<Measure>, Vec<Refusal>) {
        // The same bytes, resolved with the same configuration, are no step.
        let Some(older) = self.of_lists.get(&list.name).and_then(|digest| self.documents.get(digest)) else {
            return (Vec::new(), Vec::new());
        };
        let (before, after) = desired::resolve_pair(list, older, &current.tags);
        let (limits, before, after) = (&list.limits, before.all(), after.all());
        let refusals = limits.judge_step(&format!("list `{}`", list.name), &before, &after);
        (limits.measure(&list.name, &before, &after), refusals)
    }

    /// What the accepted publication of a list lists of it with today's configuration, where that is another one.
    pub fn listed_before(&self, list: &List, current: &Publication) -> Option<PrefixSet> {
        let older = self.documents.get(self.of_lists.get(&list.name)?)?;
        Some(desired::resolve_pair(list, older, &current.tags).0.listed)
    }
}

fn read(last_good: &LastGood, digest: Digest, wanted: &BTreeSet<&str>) -> Result<Vec<Tag>, String> {
    let tags = last_good.tags(digest, wanted).map_err(|error| chain(&error))?;
    tags.ok_or_else(|| "it is not in the state directory".to_owned())
}

#[cfg(test)]
mod tests;
