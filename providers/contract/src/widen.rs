//! Widening: the cover of at most so many prefixes that admits the fewest addresses which are not listed.
//!
//! The exact optimum, by dynamic programming over the tree whose leaves are the listed prefixes and whose inner nodes
//! are the places where they part. A node is covered by one prefix, its own, or by so many on its left and so many
//! on its right:
//!
//! ```text
//! cost(node, 1) = addresses of the node that are not listed
//! cost(node, k) = min over i of cost(left, i) + cost(right, k - i)
//! ```
//!
//! The costs of a node are not convex in k (two full halves with holes gain nothing from the first split and much
//! from the second), so nothing shorter than trying every i will do. With n leaves and at most N prefixes that takes
//! less than 2nN steps, and memory for the choices of n times the width of an address at most.

use crate::{AddressCount, AddressRange, Family, IpNet, PrefixSet};

/// The most steps that are tried: a few hundred milliseconds. AzureCloud (10,000 prefixes) in 1,000 is a tenth of it.
pub const MOST_WORK: u64 = 100_000_000;

/// What a wider cover may not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most addresses that may be admitted beyond those listed; `None` for as many as it takes.
    pub most_extra: Option<AddressCount>,
    /// The shortest prefix length that widening may arrive at. Listed prefixes that are shorter stay.
    pub broadest: u8,
    /// Addresses that no widened prefix may take in: what the operator excluded, what is private or reserved.
    pub never: PrefixSet,
}

/// A wider cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widened {
    /// The prefixes, ascending: as few as the cost allows.
    pub prefixes: Vec<IpNet>,
    /// How many addresses they admit that are not listed.
    pub extra: AddressCount,
}

/// Why there is no such cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WidenError {
    /// No cover of so many prefixes keeps within the bounds on length and on what is never admitted.
    OutOfBounds,
    /// The best one admits more extra addresses than allowed.
    TooManyExtra {
        /// So many.
        extra: AddressCount,
    },
    /// It would take more than [`MOST_WORK`] steps.
    TooLarge {
        /// About so many.
        work: u64,
    },
}

impl std::fmt::Display for WidenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfBounds => f.write_str("no so small number of prefixes keeps within the bounds of widening"),
            Self::TooManyExtra { extra } => write!(f, "the closest cover admits {extra} addresses that are not listed"),
            Self::TooLarge { work } => {
                write!(f, "widening would take about {work} steps, and at most {MOST_WORK} are tried")
            }
        }
    }
}

impl std::error::Error for WidenError {}

/// The cover of one family with at most `most` prefixes that admits the fewest addresses beyond the set; of equally
/// good ones the one with the fewest prefixes. What fits as it is stays as it is.
///
/// # Errors
/// As [`WidenError`] says.
pub fn widen(listed: &PrefixSet, family: Family, most: usize, bounds: &Bounds) -> Result<Widened, WidenError> {
    let listed = listed.only(family);
    let leaves: Vec<IpNet> = listed.prefixes().collect();
    if leaves.len() <= most {
        return Ok(Widened { prefixes: leaves, extra: AddressCount::ZERO });
    }
    if most == 0 {
        return Err(WidenError::OutOfBounds);
    }
    let work = 2 * leaves.len() as u64 * most as u64;
    if work > MOST_WORK {
        return Err(WidenError::TooLarge { work });
    }
    let mut tree = Tree { leaves: &leaves, most, bounds, splits: Vec::new() };
    let root = tree.grow(0..leaves.len());
    let best = root.costs.iter().min().copied().filter(|cost| *cost != IMPOSSIBLE).ok_or(WidenError::OutOfBounds)?;
    let extra = AddressCount::new(best);
    if bounds.most_extra.is_some_and(|most| extra > most) {
        return Err(WidenError::TooManyExtra { extra });
    }
    let fewest = root.costs.iter().position(|cost| *cost == best).map_or(1, |index| index + 1);
    let mut prefixes = Vec::with_capacity(fewest);
    tree.collect(&root.node, fewest, &mut prefixes);
    Ok(Widened { prefixes, extra })
}

/// Above every real cost: a prefix that covers more than one leaf has at least two listed addresses.
const IMPOSSIBLE: u128 = u128::MAX;

struct Tree<'a> {
    leaves: &'a [IpNet],
    most: usize,
    bounds: &'a Bounds,
    /// For each inner node, for each k from 2: how many of them its left child takes.
    splits: Vec<Vec<u32>>,
}

/// A node whose costs are known.
struct Grown {
    node: Node,
    /// The cost of covering it with exactly k prefixes, from 1.
    costs: Vec<u128>,
    /// Listed addresses; of a whole family there are no inner nodes.
    listed: u128,
}

struct Node {
    prefix: IpNet,
    children: Option<Box<Children>>,
}

struct Children {
    left: Node,
    right: Node,
    splits: usize,
}

impl Tree<'_> {
    /// Recursion goes as deep as an address is wide.
    fn grow(&mut self, range: std::ops::Range<usize>) -> Grown {
        let leaves = &self.leaves[range.clone()];
        let (first, last) = (leaves[0], leaves[leaves.len() - 1]);
        if leaves.len() == 1 {
            return Grown {
                node: Node { prefix: first, children: None },
                costs: vec![0],
                // 2^128 wraps to nothing, and then there is no inner node to miss it.
                listed: span(first).wrapping_add(1),
            };
        }
        let prefix = joint(first, last);
        let middle = range.start + leaves.partition_point(|leaf| !in_upper_half(*leaf, prefix));
        let (left, right) = (self.grow(range.start..middle), self.grow(middle..range.end));
        let listed = left.listed + right.listed;
        let whole = if self.allowed(prefix) { span(prefix) - (listed - 1) } else { IMPOSSIBLE };
        let (costs, splits) = convolved(whole, &left.costs, &right.costs, self.most);
        self.splits.push(splits);
        let children = Children { left: left.node, right: right.node, splits: self.splits.len() - 1 };
        Grown { node: Node { prefix, children: Some(Box::new(children)) }, costs, listed }
    }

    fn allowed(&self, prefix: IpNet) -> bool {
        prefix.prefix_len() >= self.bounds.broadest && !self.bounds.never.meets(prefix)
    }

    fn collect(&self, node: &Node, prefixes: usize, into: &mut Vec<IpNet>) {
        match &node.children {
            Some(children) if prefixes > 1 => {
                let left = self.splits[children.splits][prefixes - 2] as usize;
                self.collect(&children.left, left, into);
                self.collect(&children.right, prefixes - left, into);
            }
            _ => into.push(node.prefix),
        }
    }
}

/// The costs of a node from 1 to `most` prefixes, and what its left child takes of 2 and more.
fn convolved(whole: u128, left: &[u128], right: &[u128], most: usize) -> (Vec<u128>, Vec<u32>) {
    let longest = (left.len() + right.len()).min(most);
    let mut costs = vec![IMPOSSIBLE; longest];
    let mut splits = vec![1; longest.saturating_sub(1)];
    costs[0] = whole;
    for (i, left) in (1..).zip(left) {
        if *left == IMPOSSIBLE {
            continue;
        }
        let room = longest.saturating_sub(i);
        for (j, right) in (1..).zip(right.iter().take(room)) {
            let cost = left.saturating_add(*right);
            if cost < costs[i + j - 1] {
                costs[i + j - 1] = cost;
                splits[i + j - 2] = u32::try_from(i).unwrap_or(u32::MAX);
            }
        }
    }
    (costs, splits)
}

/// The last address less the first.
fn span(prefix: IpNet) -> u128 {
    let range = AddressRange::from(prefix);
    number(range.last()) - number(range.first())
}

fn number(address: std::net::IpAddr) -> u128 {
    match address {
        std::net::IpAddr::V4(address) => u32::from(address).into(),
        std::net::IpAddr::V6(address) => address.into(),
    }
}

/// The longest prefix that holds both, which are of one family and do not overlap.
fn joint(first: IpNet, last: IpNet) -> IpNet {
    let differing = number(first.network()) ^ number(last.network());
    let host_bits = u8::try_from(u128::BITS - differing.leading_zeros()).unwrap_or(u8::MAX);
    let length = first.max_prefix_len() - host_bits;
    IpNet::new(first.network(), length).map_or(first, |prefix| prefix.trunc())
}

/// Whether it lies in the upper half of a prefix that is shorter than itself.
fn in_upper_half(leaf: IpNet, prefix: IpNet) -> bool {
    let bit = prefix.max_prefix_len() - prefix.prefix_len() - 1;
    number(leaf.network()) >> bit & 1 == 1
}
