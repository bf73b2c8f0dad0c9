//! Where two sources agree, as it is told.

use tagwall_provider::PrefixSet;

use super::json;
use super::number::counted;
use crate::agreement::{Agreement, Difference};

/// How many prefixes of one side are named.
const NAMED: usize = 3;

/// The first line, and one for each tag that differs.
pub(super) fn lines(agreement: &Agreement) -> (String, Vec<String>) {
    let Agreement { source, other, tags, differences } = agreement;
    let tags = counted(*tags, "tag", "tags");
    let verdict = match differences.len() {
        0 => format!("the same addresses for {tags} in use"),
        some => {
            let differ = if some == 1 { "differs" } else { "differ" };
            let wins = "wins, for it is the source, and nothing is made of both";
            format!("{some} of {tags} in use {differ}; `{}` {wins}", source.kind)
        }
    };
    let head = format!("with `{}`, change number {}: {verdict}", other.kind, other.change_number);
    let of_tag = |difference: &Difference| {
        let numbers = match difference.change_numbers {
            [Some(one), Some(two)] => format!("change numbers {one} and {two}"),
            [Some(_), None] => format!("missing in `{}`", other.kind),
            [None, Some(_)] => format!("missing in `{}`", source.kind),
            [None, None] => "missing in both".to_owned(),
        };
        let mut sides = vec![numbers];
        for (only, kind) in difference.only.iter().zip([source.kind, other.kind]) {
            sides.extend((!only.is_empty()).then(|| format!("{} only in `{kind}` ({})", count(only), named(only))));
        }
        format!("{}: {}", difference.tag, sides.join("; "))
    };
    (head, differences.iter().map(of_tag).collect())
}

fn count(only: &PrefixSet) -> String {
    counted(only.prefixes().count(), "prefix", "prefixes")
}

fn named(only: &PrefixSet) -> String {
    let mut names: Vec<String> = only.prefixes().take(NAMED).map(|prefix| prefix.to_string()).collect();
    names.extend((only.prefixes().count() > NAMED).then(|| "…".to_owned()));
    names.join(", ")
}

impl From<&Agreement> for json::Agreement {
    fn from(agreement: &Agreement) -> Self {
        let side = |side: &crate::agreement::Side| json::Compared {
            kind: side.kind.to_owned(),
            origin: side.origin.clone(),
            change_number: side.change_number,
        };
        let texts = |set: &PrefixSet| set.prefixes().map(|prefix| prefix.to_string()).collect();
        let of_tag = |difference: &Difference| {
            let [source_change_number, other_change_number] = difference.change_numbers;
            let [only_in_source, only_in_other] = difference.only.each_ref().map(texts);
            let tag = difference.tag.clone();
            json::Difference { tag, source_change_number, other_change_number, only_in_source, only_in_other }
        };
        Self {
            source: side(&agreement.source),
            other: side(&agreement.other),
            winner: agreement.source.kind.to_owned(),
            tags: agreement.tags,
            differences: agreement.differences.iter().map(of_tag).collect(),
        }
    }
}
