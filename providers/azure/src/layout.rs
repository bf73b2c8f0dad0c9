//! Which rules a target has: their names, priorities, destinations, and how they are known again.
//!
//! ```text
//! priority        rule                      source
//! first           tagwall-<owner>-<target>-v4        IPv4 prefixes
//! first + 1       …-v6                               IPv6 prefixes
//! …               …-v4-2, …-v6-2                     where a rule holds fewer than a group
//! then            …-tag, …-tag-v4, …-tag-v6          a service tag
//!                 …-probes, …                        AzureLoadBalancer
//!                 …-deny, …                          everybody else
//! ```
//!
//! Where the destinations are named, the last three exist for each family (`…-deny-v4`), since a rule has
//! destinations of one family. No two rules share a priority, so that those of the next configuration come while those
//! of the last still stand.

use tagwall_provider::{Family, OwnerMark, Slot};

use crate::rule::Rule;
use crate::settings::Settings;

/// For whose destination a rule is: of one family, or of both where none is named.
pub(crate) type Scope = Option<Family>;

/// One of the rules that a target may have, in the order in which a group judges them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Prefixes of one family.
    Chunk(Family, u32),
    /// A service tag.
    Tag(Scope),
    /// What lets load balancers look whether somebody is there.
    Probes(Scope),
    /// What closes the ports to everybody else.
    Deny(Scope),
}

/// More rules than a group takes: no number in a name comes near it.
const MOST_CHUNKS: u32 = 4000;
const FIRST_OF_TAGS: u32 = 10_000;
const APART: u32 = 10;
const SCOPES: [Scope; 3] = [None, Some(Family::V4), Some(Family::V6)];
/// The priorities of a tag, of the probes, and of what closes: one for each scope.
const PER_KIND: u32 = 3;
/// The priorities of a target besides those of its prefixes.
pub(crate) const AROUND: u32 = 3 * PER_KIND;

impl Part {
    /// Its number in observations, the same in every configuration.
    pub(crate) fn slot(self) -> Slot {
        let of = |kind: u32, scope: Scope| FIRST_OF_TAGS + APART * kind + place_of(scope);
        Slot(match self {
            Self::Chunk(family, number) => 2 * number + u32::from(family == Family::V6),
            Self::Tag(scope) => of(0, scope),
            Self::Probes(scope) => of(1, scope),
            Self::Deny(scope) => of(2, scope),
        })
    }

    /// The rule of a slot.
    pub(crate) fn of_slot(Slot(slot): Slot) -> Option<Self> {
        if slot < 2 * MOST_CHUNKS {
            let family = if slot % 2 == 0 { Family::V4 } else { Family::V6 };
            return Some(Self::Chunk(family, slot / 2));
        }
        let other = SCOPES.into_iter().flat_map(|scope| [Self::Tag(scope), Self::Probes(scope), Self::Deny(scope)]);
        other.into_iter().find(|part| part.slot() == Slot(slot))
    }

    /// What its name ends in.
    fn suffix(self) -> String {
        let scoped = |word: &str, scope: Scope| match scope {
            None => word.to_owned(),
            Some(family) => format!("{word}-{}", short(family)),
        };
        match self {
            Self::Chunk(family, 0) => short(family).to_owned(),
            Self::Chunk(family, number) => format!("{}-{}", short(family), number + 1),
            Self::Tag(scope) => scoped("tag", scope),
            Self::Probes(scope) => scoped("probes", scope),
            Self::Deny(scope) => scoped("deny", scope),
        }
    }

    fn of_suffix(suffix: &str) -> Option<Self> {
        let family = |text: &str| Family::ALL.into_iter().find(|family| short(*family) == text);
        let scope = |text: &str| text.is_empty().then_some(None).or_else(|| family(text.strip_prefix('-')?).map(Some));
        if let Some(rest) = suffix.strip_prefix("tag") {
            return scope(rest).map(Self::Tag);
        }
        if let Some(rest) = suffix.strip_prefix("probes") {
            return scope(rest).map(Self::Probes);
        }
        if let Some(rest) = suffix.strip_prefix("deny") {
            return scope(rest).map(Self::Deny);
        }
        let Some((of, number)) = suffix.split_once('-') else { return Some(Self::Chunk(family(suffix)?, 0)) };
        let number: u32 = number.parse().ok().filter(|number| (2..=MOST_CHUNKS).contains(number))?;
        let part = Self::Chunk(family(of)?, number - 1);
        // `v4-02` is nobody's.
        (part.suffix() == suffix).then_some(part)
    }

    /// Whether it lets in whom the target is for.
    pub(crate) const fn holds_entries(self) -> bool {
        matches!(self, Self::Chunk(..) | Self::Tag(_))
    }
}

const fn place_of(scope: Scope) -> u32 {
    match scope {
        None => 0,
        Some(Family::V4) => 1,
        Some(Family::V6) => 2,
    }
}

const fn short(family: Family) -> &'static str {
    match family {
        Family::V4 => "v4",
        Family::V6 => "v6",
    }
}

/// What the names of a target's rules begin with. Azure takes 80 characters; a long one is cut, and told from others
/// by a hash that is the same in every build.
fn base(mark: &OwnerMark) -> String {
    const LONGEST: usize = 64;
    let plain = format!("tagwall-{}-{}", mark.owner(), mark.target());
    if plain.len() <= LONGEST {
        return plain;
    }
    // FNV-1a, 64 bits.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = mark.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{}-{hash:016x}", &plain[..LONGEST - 17])
}

/// The name of a target's rule.
pub(crate) fn name(mark: &OwnerMark, part: Part) -> String {
    format!("{}-{}", base(mark), part.suffix())
}

/// Which of a target's rules this is: only what has both the name and the mark is. Azure's names know no case.
pub(crate) fn owned(mark: &OwnerMark, rule: &Rule) -> Option<Part> {
    (rule.mark().as_ref() == Some(mark)).then_some(())?;
    named(mark, &rule.name)
}

/// Which of a target's rules has this name, whoever wrote it.
pub(crate) fn named(mark: &OwnerMark, name: &str) -> Option<Part> {
    let (name, base) = (name.to_ascii_lowercase(), base(mark).to_ascii_lowercase());
    Part::of_suffix(name.strip_prefix(&base)?.strip_prefix('-')?)
}

impl Settings {
    /// Every rule that the target may have, in the order of their priorities.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + use<'_> {
        let chunks = (0..self.chunks()).flat_map(|number| Family::ALL.map(|family| Part::Chunk(family, number)));
        let kinds: [fn(Scope) -> Part; 3] = [Part::Tag, Part::Probes, Part::Deny];
        chunks.chain(kinds.into_iter().flat_map(|kind| self.scopes().iter().map(move |scope| kind(*scope))))
    }

    /// For which destinations there are rules that take both families.
    pub(crate) fn scopes(&self) -> &'static [Scope] {
        let [whole, each @ ..] = &SCOPES;
        if self.destination.v4.is_some() && self.destination.v6.is_some() { each } else { std::slice::from_ref(whole) }
    }

    /// Which of those a rule falls under.
    pub(crate) fn scope(&self, part: Part) -> Scope {
        match part {
            Part::Chunk(family, _) => Some(family).filter(|_| self.scopes().len() > 1),
            Part::Tag(scope) | Part::Probes(scope) | Part::Deny(scope) => scope,
        }
    }

    /// The priority that a rule has; none for one that this configuration has no place for.
    pub(crate) fn priority_of(&self, part: Part) -> Option<u16> {
        let chunks = 2 * self.chunks();
        let of = |kind: u32, scope: Scope| {
            self.scopes().contains(&scope).then_some(chunks + PER_KIND * kind + place_of(scope))
        };
        let offset = match part {
            Part::Chunk(family, number) => {
                (number < self.chunks()).then_some(2 * number + u32::from(family == Family::V6))
            }
            Part::Tag(scope) => of(0, scope),
            Part::Probes(scope) => of(1, scope),
            Part::Deny(scope) => of(2, scope),
        };
        u16::try_from(u32::from(self.priority) + offset?).ok()
    }

    /// Where a rule leads, as ARM writes it.
    pub(crate) fn destination_of(&self, part: Part) -> &str {
        let family = match part {
            Part::Chunk(family, _) => Some(family),
            Part::Tag(scope) | Part::Probes(scope) | Part::Deny(scope) => scope,
        };
        family.and_then(|family| self.destination.get(family).as_deref()).unwrap_or("*")
    }

    /// The priorities that its rules will have, in words. That of a second or later rule of a family is told as room.
    pub(crate) fn told_priorities(&self) -> String {
        let used = |part: &Part| match part {
            Part::Chunk(_, number) => *number == 0 && self.service_tag.is_none(),
            Part::Tag(_) => self.service_tag.is_some(),
            Part::Probes(_) | Part::Deny(_) => self.wants(*part),
        };
        let told = |part: Part| Some(format!("{} for `{}`", self.priority_of(part)?, name(&self.mark, part)));
        let each: Vec<String> = self.parts().filter(used).filter_map(told).collect();
        let (first, last) = self.block().into_inner();
        format!("uses the priorities {}; {first} to {last} are kept for it", each.join(", "))
    }

    /// Whether the target is to have this rule, apart from those that hold entries.
    pub(crate) fn wants(&self, part: Part) -> bool {
        self.priority_of(part).is_some()
            && match part {
                Part::Chunk(..) | Part::Tag(_) => false,
                Part::Probes(_) => self.deny && self.admit_probes,
                Part::Deny(_) => self.deny,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(text: &str) -> OwnerMark {
        text.parse().unwrap()
    }

    #[test]
    fn every_rule_is_known_again_by_its_name_and_its_slot() {
        let ours = mark("tagwall:edge/web");
        let chunks = [0, 1, 9, 3999].into_iter().flat_map(|n| Family::ALL.map(|family| Part::Chunk(family, n)));
        let others = SCOPES.into_iter().flat_map(|scope| [Part::Tag(scope), Part::Probes(scope), Part::Deny(scope)]);
        for part in chunks.chain(others) {
            let name = name(&ours, part);
            assert_eq!(named(&ours, &name), Some(part), "{name}");
            assert_eq!(named(&ours, &name.to_uppercase()), Some(part), "{name}");
            assert_eq!(Part::of_slot(part.slot()), Some(part), "{name}");
        }
        assert_eq!(Part::of_slot(Slot(u32::MAX)), None);
    }

    #[test]
    fn names_that_are_not_ours_are_nobodys_part() {
        let ours = mark("tagwall:edge/web");
        for name in ["tagwall-edge-web", "tagwall-edge-web-v5", "tagwall-edge-web-v4-1", "tagwall-edge-web-v4-02"] {
            assert_eq!(named(&ours, name), None, "{name}");
        }
        for name in ["tagwall-edge-web2-v4", "x-tagwall-edge-web-v4", "tagwall-edge-web-v4-5000", "tagwall-edge-web-"] {
            assert_eq!(named(&ours, name), None, "{name}");
        }
    }

    #[test]
    fn long_names_fit_and_differ() {
        let long = |end: &str| mark(&format!("tagwall:{}/{}{end}", "o".repeat(48), "t".repeat(47)));
        let (one, two) =
            (name(&long("1"), Part::Probes(Some(Family::V4))), name(&long("2"), Part::Chunk(Family::V6, 999)));
        assert!(one.len() <= 80 && two.len() <= 80, "{one} {two}");
        assert_ne!(base(&long("1")), base(&long("2")));
        // Another hash would make strangers of all rules that stand.
        assert_eq!(base(&long("1")), format!("tagwall-{}-1b93f49d5f47ffd7", "o".repeat(39)));
    }

    #[test]
    fn priorities_follow_each_other() {
        let mut settings = Settings::new(mark("tagwall:edge/web"), vec![crate::Ports::one(8443)], 200);
        let check = |settings: &Settings, expected: &[(Part, u16)]| {
            for (part, priority) in expected {
                assert_eq!(settings.priority_of(*part), Some(*priority), "{part:?}");
            }
            let all: Vec<u16> = settings.parts().filter_map(|part| settings.priority_of(part)).collect();
            assert!(all.is_sorted_by(|one, next| one < next) && all.iter().all(|one| settings.block().contains(one)));
        };
        let (v4, v6) = (Family::V4, Family::V6);
        check(
            &settings,
            &[(Part::Chunk(v4, 0), 200), (Part::Chunk(v6, 0), 201), (Part::Tag(None), 202), (Part::Deny(None), 208)],
        );
        assert_eq!((settings.priority_of(Part::Chunk(v4, 1)), settings.block()), (None, 200..=210));
        settings.destination.v4 = Some("192.0.2.1".to_owned());
        settings.destination.v6 = Some("2001:db8::1".to_owned());
        settings.largest_rule = 2000;
        check(
            &settings,
            &[
                (Part::Chunk(v6, 1), 203),
                (Part::Tag(Some(v6)), 206),
                (Part::Probes(Some(v4)), 208),
                (Part::Deny(Some(v6)), 212),
            ],
        );
        assert_eq!((settings.priority_of(Part::Deny(None)), settings.block()), (None, 200..=212));
    }
}
