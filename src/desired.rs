//! What the configuration wants of a publication. Pure.

use tagwall_provider::{Desired, Family, Held, IpNet, Limit, PrefixSet, Refusal};

use crate::config::List;
use crate::source::{Publication, Tag};

/// A list, resolved against one publication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// What its tags list, in its families, exclusions taken out.
    pub listed: PrefixSet,
    /// What Microsoft dropped and a grace period still holds, exclusions taken out.
    pub held: Vec<Held>,
    /// What the operator adds, exclusions taken out.
    pub extra: PrefixSet,
}

impl Resolved {
    /// All that it admits.
    pub fn all(&self) -> PrefixSet {
        self.held.iter().fold(self.listed.union(&self.extra), |sum, held| sum.union(&held.prefixes))
    }
}

/// Resolves a list against a publication.
///
/// # Errors
/// Every refusal that the publication gives cause for: `missing-tag`, `empty-tag`, `too-broad`, `special-space`.
/// The resolved list comes with those that an override can let through.
pub fn resolve(list: &List, publication: &Publication) -> (Resolved, Vec<Refusal>) {
    let mut refusals = Vec::new();
    let mut tags = Vec::new();
    for name in &list.tags {
        match publication.tag(name) {
            Some(tag) => {
                if prefixes(tag, list).next().is_none() {
                    refusals.push(empty_tag(list, tag));
                }
                tags.push(tag);
            }
            None => refusals.push(missing_tag(list, name, publication)),
        }
    }
    let resolved = of_tags(list, &tags);
    for tag in tags {
        // What the operator excludes is not going to be admitted: it needs no judging.
        let admitted = prefixes(tag, list).filter(|prefix| resolved.listed.meets(*prefix));
        refusals.extend(admitted.filter_map(|prefix| list.limits.judge_prefix(&format!("tag `{}`", tag.name), prefix)));
    }
    let broad_extra = list
        .extra
        .prefixes()
        .filter_map(|prefix| list.limits.judge_breadth(&format!("`extra` of list `{}`", list.name), prefix));
    refusals.extend(broad_extra);
    (resolved, refusals)
}

/// Resolves a list against the tags of two publications for comparison, by those that both have.
///
/// A tag that the operator has just added may be younger than the older publication: that it comes is their
/// edit, no growth of the list.
pub fn resolve_pair(list: &List, older: &[Tag], newer: &[Tag]) -> (Resolved, Resolved) {
    let both = list.tags.iter().filter_map(|name| Some((Tag::find(older, name)?, Tag::find(newer, name)?)));
    let (old, new): (Vec<&Tag>, Vec<&Tag>) = both.unzip();
    (of_tags(list, &old), of_tags(list, &new))
}

/// What a target should admit: the union of its lists.
pub fn desired(lists: &[&Resolved]) -> Desired {
    let of = |part: fn(&Resolved) -> &PrefixSet| lists.iter().fold(PrefixSet::new(), |sum, list| sum.union(part(list)));
    let (listed, extra) = (of(|list| &list.listed), of(|list| &list.extra));
    // What another list admits anyhow is held by nobody.
    let others = listed.union(&extra);
    let held = lists.iter().flat_map(|list| &list.held);
    let held = held.map(|held| Held { prefixes: held.prefixes.difference(&others), until: held.until.clone() });
    let held = held.filter(|held| !held.prefixes.is_empty()).collect();
    Desired::Prefixes { listed, held, extra, widened: PrefixSet::new() }
}

fn of_tags(list: &List, tags: &[&Tag]) -> Resolved {
    let listed: PrefixSet = tags.iter().flat_map(|tag| prefixes(tag, list)).collect();
    let extra = list.extra.difference(&list.exclude);
    Resolved { listed: listed.difference(&list.exclude), held: Vec::new(), extra }
}

fn prefixes<'a>(tag: &'a Tag, list: &'a List) -> impl Iterator<Item = IpNet> + 'a {
    let v4 = tag.v4.iter().copied().map(IpNet::V4).filter(|_| list.families.contains(&Family::V4));
    v4.chain(tag.v6.iter().copied().map(IpNet::V6).filter(|_| list.families.contains(&Family::V6)))
}

fn missing_tag(list: &List, name: &str, publication: &Publication) -> Refusal {
    let near = publication.near_misses(name);
    let mut choices = Vec::new();
    if !near.is_empty() {
        choices.push(format!("did you mean `{}`?", near.join("`, `")));
    }
    choices.push("`tagwall tags` lists the tags of the publication".to_owned());
    choices.push(format!("take the tag out of list `{}` if Microsoft has withdrawn it", list.name));
    Refusal {
        limit: Limit::MissingTag,
        finding: format!("list `{}`: the publication has no tag `{name}`", list.name),
        choices,
    }
}

fn empty_tag(list: &List, tag: &Tag) -> Refusal {
    let families: Vec<String> = list.families.iter().map(ToString::to_string).collect();
    Refusal {
        limit: Limit::EmptyTag,
        finding: format!("list `{}`: tag `{}` has no prefix in {}", list.name, tag.name, families.join(" or ")),
        choices: vec![
            "an empty tag would close the port to everybody: wait for the next publication".to_owned(),
            format!("take the tag out of list `{}` if Microsoft has withdrawn it", list.name),
        ],
    }
}

#[cfg(test)]
mod tests;
