//! The plan: what one target admits, what it should, and what the difference means in addresses. Pure.

use tagwall_provider::{
    AddressCount, Admits, Desired, Foreign, Held, Observed, Operation, PerFamily, PrefixSet, Provider, Refusal, Steps,
};

use crate::config::Policy;

/// What a pass would do to one target, and why that is all it would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What was read of the target: its entries, what stands around them, other people's rules, orphans.
    pub observed: Observed,
    /// What the target admits before.
    pub before: PrefixSet,
    /// What it is to admit, with what the policy leaves.
    pub desired: Desired,
    /// What it admits after.
    pub after: PrefixSet,
    /// What it admits beyond what is desired, because the policy lets nothing be removed.
    pub left: PrefixSet,
    /// What is done, in order.
    pub steps: Steps,
}

/// One side of a diff, sorted by what it means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// Entries that change what is admitted.
    pub changing: Vec<Admits>,
    /// Entries whose addresses are admitted before and after: the same, written another way.
    pub reexpressed: Vec<Admits>,
}

/// Plans one target.
///
/// The policy is a matter of what is desired, not of what is done about it: who may only add desires what is
/// admitted already, too. So placement, capacity and verification need not know of policies.
///
/// # Errors
/// The provider's refusal: it does not fit, or what stands there is not ours.
pub fn plan(provider: &dyn Provider, observed: Observed, desired: &Desired, policy: Policy) -> Result<Plan, Refusal> {
    let before = observed.admitted();
    let wanted = desired.prefixes();
    let (desired, left) = match (policy, desired) {
        (Policy::AddOnly, Desired::Prefixes { listed, held, extra, widened }) => {
            // What is kept must be ours to keep: whether it is shows only beside what is really desired.
            provider.place(&observed, desired)?;
            let left = before.difference(&wanted);
            let extra = extra.union(&left);
            let (listed, held, widened) = (listed.clone(), held.clone(), widened.clone());
            (Desired::Prefixes { listed, held, extra, widened }, left)
        }
        _ => (desired.clone(), PrefixSet::new()),
    };
    let steps = provider.place(&observed, &desired)?;
    Ok(Plan { before, after: desired.prefixes(), left, steps, desired, observed })
}

impl Plan {
    /// What it admits only because a grace period holds what Microsoft dropped, and until when.
    pub fn held(&self) -> &[Held] {
        match &self.desired {
            Desired::Prefixes { held, .. } => held,
            Desired::ServiceTag(_) => &[],
        }
    }

    /// Addresses that come, per family.
    pub fn gained(&self) -> PerFamily<AddressCount> {
        let gained = self.after.difference(&self.stood());
        PerFamily::from_fn(|family| gained.addresses(family))
    }

    /// Addresses that go, per family.
    pub fn lost(&self) -> PerFamily<AddressCount> {
        let lost = self.before.difference(&self.after);
        PerFamily::from_fn(|family| lost.addresses(family))
    }

    /// Addresses that it admits only to save prefixes, per family.
    pub fn widened_addresses(&self) -> PerFamily<AddressCount> {
        PerFamily::from_fn(|family| match &self.desired {
            Desired::Prefixes { widened, .. } => widened.addresses(family),
            Desired::ServiceTag(_) => AddressCount::ZERO,
        })
    }

    /// What is added.
    pub fn added(&self) -> Side {
        self.side(Operation::Add, &self.stood())
    }

    /// What it admits before, and what stands there under another mark and is taken over.
    fn stood(&self) -> PrefixSet {
        let taken_over = self.steps.of(Operation::Add).filter(|step| step.id.is_some());
        let ranges = taken_over.filter_map(|step| match step.admits {
            Admits::Range(range) => Some(range),
            Admits::ServiceTag(_) => None,
        });
        self.before.union(&ranges.collect())
    }

    /// What is removed.
    pub fn removed(&self) -> Side {
        self.side(Operation::Remove, &self.after)
    }

    /// What somebody else's rules admit already of what we would admit: true today, and theirs to take away.
    pub fn admitted_by_others(&self) -> PrefixSet {
        Foreign::admitted(&self.observed.foreign).intersection(&self.after)
    }

    fn side(&self, operation: Operation, other: &PrefixSet) -> Side {
        let mut side = Side::default();
        for step in self.steps.of(operation) {
            let same = matches!(step.admits, Admits::Range(range) if other.covers(range));
            let of = if same { &mut side.reexpressed } else { &mut side.changing };
            of.push(step.admits.clone());
        }
        side
    }
}

#[cfg(test)]
mod tests;
