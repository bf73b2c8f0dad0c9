//! Opening a target a little beyond what is listed, where a firewall has no room for every prefix. Pure.

use tagwall_provider::widen::{Bounds, WidenError, widen};
use tagwall_provider::{AddressCount, Desired, Family, Limit, PrefixSet, Refusal};

use crate::config::{List, Percent, Widen};
use crate::limits::special_space_but;

/// What a target should admit in as few prefixes as asked for. `lists` are those of the target: what one of them
/// excludes stays out, and so does special address space that not all of them admit.
///
/// # Errors
/// [`Limit::Capacity`] where no cover keeps within the bounds.
pub fn widened(desired: Desired, by: &Widen, lists: &[&List]) -> Result<Desired, Refusal> {
    let wanted = desired.prefixes();
    let Desired::Prefixes { listed, held, extra, .. } = desired else { return Ok(desired) };
    let mut all = PrefixSet::new();
    for family in Family::ALL {
        let whole = wanted.only(family);
        let Some(most) = *by.prefixes.get(family) else {
            all = all.union(&whole);
            continue;
        };
        let bounds = bounds(&whole, family, by.most_extra, lists);
        let cover = widen(&whole, family, most, &bounds).map_err(|error| refusal(family, most, by, &whole, error))?;
        all = all.union(&cover.prefixes.into_iter().collect());
    }
    let widened = all.difference(&wanted);
    Ok(Desired::Prefixes { listed, held, extra, widened })
}

fn bounds(whole: &PrefixSet, family: Family, most_extra: Percent, lists: &[&List]) -> Bounds {
    let shared = |kind: &_| lists.iter().all(|list| list.limits.special.contains(kind));
    let never = lists.iter().fold(special_space_but(shared), |sum, list| sum.union(&list.exclude));
    let broadest = lists.iter().map(|list| match family {
        Family::V4 => list.limits.too_broad.v4,
        Family::V6 => list.limits.too_broad.v6,
    });
    Bounds {
        most_extra: Some(share(whole.addresses(family), most_extra)),
        broadest: broadest.max().unwrap_or(0),
        never,
    }
}

/// That share of so many addresses, rounded down. A share is no exact number, so neither is this beyond 53 bits.
fn share(of: AddressCount, share: Percent) -> AddressCount {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is never negative, and `as` saturates"
    )]
    let addresses = (of.as_f64() * share.0 / 100.0) as u128;
    AddressCount::new(addresses)
}

fn refusal(family: Family, most: usize, by: &Widen, whole: &PrefixSet, error: WidenError) -> Refusal {
    let key = if family == Family::V4 { "v4" } else { "v6" };
    let finding = match error {
        WidenError::TooManyExtra { extra } => format!(
            "{family}: {most} prefixes in place of {} would admit {extra} addresses that nobody lists, {:.2} % more; \
             the limit is {}",
            whole.prefix_count(family),
            extra.percent_of(whole.addresses(family)),
            by.most_extra
        ),
        WidenError::OutOfBounds => format!(
            "{family}: {} prefixes cannot become {most} without taking in what is excluded or special, or a prefix \
             that is too broad",
            whole.prefix_count(family)
        ),
        WidenError::TooLarge { .. } => format!("{family}: {error}"),
    };
    Refusal {
        limit: Limit::Capacity,
        finding,
        choices: vec![
            format!("raise `widen.{key}`: give it more prefixes"),
            "raise `widen.most-extra`".to_owned(),
            "name narrower or regional tags".to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{config, set};

    /// Widens IPv4 and IPv6 to so many prefixes, beside a list with these further keys.
    fn check(listed: &[&str], widen: &str, list: &str, expect: Result<&[&str], &str>) {
        let text = format!(
            "[lists.a]\nextra = [\"2001:db8::/48\"]\n{list}\n[targets.t]\nlists = [\"a\"]\nwiden = {widen}\n\
             aws-security-groups = {{ region = \"eu-west-1\", groups = [\"sg-1\"] }}"
        );
        let config = config(&text);
        let by = config.targets[0].widen.clone().unwrap();
        let lists: Vec<&List> = config.lists.values().collect();
        let found = widened(Desired::listed(set(listed)), &by, &lists);
        match (found, expect) {
            (Ok(desired), Ok(expect)) => {
                assert_eq!(desired.prefixes(), set(expect));
                let Desired::Prefixes { listed: still, widened, .. } = desired else { panic!() };
                assert_eq!((still, widened), (set(listed), set(expect).difference(&set(listed))));
            }
            (Err(refusal), Err(expect)) => {
                assert_eq!(refusal.limit, Limit::Capacity);
                assert!(refusal.finding.contains(expect), "{refusal:?}");
            }
            (found, expect) => panic!("{found:?} is not {expect:?}"),
        }
    }

    const DOCUMENTATION: &str = "limits.special = [\"documentation\"]";

    #[test]
    fn few_prefixes_take_in_the_fewest_others() {
        let listed = ["192.0.2.0/26", "192.0.2.128/25", "198.51.100.0/24", "2001:db8::/48"];
        check(
            &listed,
            "{ v4 = 2, most-extra = \"100%\" }",
            DOCUMENTATION,
            Ok(&["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"]),
        );
        // What fits stays as it is, and the other family is not touched.
        check(&listed, "{ v4 = 3 }", DOCUMENTATION, Ok(&listed));
        check(&listed, "{ v6 = 1 }", DOCUMENTATION, Ok(&listed));
    }

    #[test]
    fn bounds_refuse() {
        let listed = ["192.0.2.0/26", "192.0.2.128/25", "2001:db8::/48"];
        check(&listed, "{ v4 = 1, most-extra = \"33%\" }", DOCUMENTATION, Err("33.33 % more; the limit is 33 %"));
        check(&listed, "{ v4 = 1, most-extra = \"34%\" }", DOCUMENTATION, Ok(&["192.0.2.0/24", "2001:db8::/48"]));
        // Neither what is excluded nor what is special comes in.
        let exclude = format!("exclude = [\"192.0.2.64/32\"]\n{DOCUMENTATION}");
        check(&listed, "{ v4 = 1, most-extra = \"100%\" }", &exclude, Err("cannot become 1"));
        check(&listed, "{ v4 = 1, most-extra = \"100%\" }", "limits.special = []", Err("cannot become 1"));
        let narrow = "limits.special = [\"documentation\"]\nlimits.too-broad = { v4 = 25 }";
        check(&listed, "{ v4 = 1, most-extra = \"100%\" }", narrow, Err("cannot become 1"));
    }
}
