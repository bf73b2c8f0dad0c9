//! Rules as `nft list` prints them, for people to find again in its listing.
//!
//! nft makes one clause of several expressions of the kernel: `tcp dport 8443` is four of them. What this crate
//! writes itself, and the plainest of what others do, is put together the same way. The rest keeps its form:
//! unknown values in hexadecimal, and by name in brackets what is not understood.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::netlink::wire::family::{IP, IP6};
use crate::rule::{Cmp, Expr, Rule, Verdict};

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut rest, mut between) = (&self.exprs[..], "");
        while let [first, others @ ..] = rest {
            write!(f, "{between}")?;
            rest = clause(f, first, others)?;
            between = " ";
        }
        Ok(())
    }
}

/// Writes the first clause and answers what comes behind it.
fn clause<'a>(f: &mut fmt::Formatter<'_>, first: &Expr, rest: &'a [Expr]) -> Result<&'a [Expr], fmt::Error> {
    // A field of a header tells by its name which protocol it is of.
    let (load, rest) = match (first, rest) {
        (&Expr::NFPROTO, [Expr::Cmp(Cmp::Equal, protocol), load @ Expr::Payload { base: 1, .. }, rest @ ..]) => {
            match **protocol {
                [IP] => f.write_str("ip ")?,
                [IP6] => f.write_str("ip6 ")?,
                _ => write!(f, "meta nfproto {} ", hex(protocol))?,
            }
            (load, rest)
        }
        (&Expr::L4PROTO, [Expr::Cmp(Cmp::Equal, protocol), load @ Expr::Payload { base: 2, .. }, rest @ ..]) => {
            write!(f, "{} ", value(first, protocol))?;
            (load, rest)
        }
        (load, rest) => (load, rest),
    };
    name(f, load)?;
    match rest {
        [Expr::Bitwise { mask, xor }, Expr::Cmp(Cmp::NotEqual, zero), rest @ ..]
            if *load == Expr::CT_STATE && xor.iter().chain(zero).all(|byte| *byte == 0) =>
        {
            write!(f, " {}", states(mask))?;
            Ok(rest)
        }
        [Expr::Bitwise { mask, xor }, Expr::Cmp(cmp, bytes), rest @ ..]
            if is_address(load) && xor.iter().all(|byte| *byte == 0) && prefix_length(mask).is_some() =>
        {
            let length = prefix_length(mask).unwrap_or_default();
            write!(f, " {}{}/{length}", if *cmp == Cmp::Equal { "" } else { "!= " }, value(load, bytes))?;
            Ok(rest)
        }
        [Expr::Cmp(cmp, bytes), rest @ ..] => {
            write!(f, " {}{}", if *cmp == Cmp::Equal { "" } else { "!= " }, value(load, bytes))?;
            Ok(rest)
        }
        [Expr::Lookup(set), rest @ ..] => {
            write!(f, " @{set}")?;
            Ok(rest)
        }
        rest => Ok(rest),
    }
}

/// What an expression is called: for one that loads, what it loads.
fn name(f: &mut fmt::Formatter<'_>, expr: &Expr) -> fmt::Result {
    match expr {
        &Expr::IIF => f.write_str("iif"),
        &Expr::NFPROTO => f.write_str("meta nfproto"),
        &Expr::L4PROTO => f.write_str("meta l4proto"),
        Expr::Meta(key) => write!(f, "meta {key}"),
        &Expr::CT_STATE => f.write_str("ct state"),
        Expr::Conntrack(key) => write!(f, "ct {key}"),
        &Expr::DESTINATION_TYPE => f.write_str("fib daddr type"),
        Expr::Fib { result, flags } => write!(f, "fib {result}/{flags}"),
        Expr::Payload { base: 2, offset: 0, length: 2 } => f.write_str("sport"),
        &Expr::DESTINATION_PORT => f.write_str("dport"),
        // Fewer bytes than an address has are those of a prefix. (Fewer than 4 at 8 may be fields of IPv4's header.)
        Expr::Payload { base: 1, offset: 12, length: 1..=4 } | Expr::Payload { base: 1, offset: 8, length: 4..=16 } => {
            f.write_str("saddr")
        }
        Expr::Payload { base: 1, offset: 16, length: 1..=4 }
        | Expr::Payload { base: 1, offset: 24, length: 4..=16 } => f.write_str("daddr"),
        Expr::Payload { base, offset, length } => {
            let header = match base {
                0 => "ll",
                1 => "nh",
                _ => "th",
            };
            // nft counts bits.
            write!(f, "@{header},{},{}", u64::from(*offset) * 8, u64::from(*length) * 8)
        }
        Expr::Bitwise { mask, xor } => write!(f, "& {} ^ {}", hex(mask), hex(xor)),
        Expr::Cmp(cmp, bytes) => write!(f, "{} {}", if *cmp == Cmp::Equal { "==" } else { "!=" }, hex(bytes)),
        Expr::Lookup(set) => write!(f, "@{set}"),
        Expr::States(bits) => write!(f, "ct state {}", states(&bits.to_ne_bytes())),
        Expr::Counter => f.write_str("counter"),
        Expr::Verdict(Verdict::Accept) => f.write_str("accept"),
        Expr::Verdict(Verdict::Drop) => f.write_str("drop"),
        Expr::Verdict(Verdict::Jump(chain)) => write!(f, "jump {chain}"),
        Expr::Verdict(Verdict::Goto(chain)) => write!(f, "goto {chain}"),
        Expr::Verdict(Verdict::Return) => f.write_str("return"),
        Expr::Other(name) => write!(f, "[{name}]"),
    }
}

/// What a loaded value is compared with.
fn value(load: &Expr, bytes: &[u8]) -> String {
    let native = || bytes.try_into().map(u32::from_ne_bytes).ok();
    let known = match load {
        // The loopback interface is number 1 in every network namespace; the others have what names they have.
        &Expr::IIF => native().map(|index| if index == 1 { "\"lo\"".to_owned() } else { index.to_string() }),
        &Expr::NFPROTO => match *bytes {
            [IP] => Some("ipv4".to_owned()),
            [IP6] => Some("ipv6".to_owned()),
            _ => None,
        },
        &Expr::L4PROTO => match *bytes {
            [6] => Some("tcp".to_owned()),
            [17] => Some("udp".to_owned()),
            [other] => Some(other.to_string()),
            _ => None,
        },
        &Expr::DESTINATION_TYPE => native().filter(|kind| *kind == 2).map(|_| "local".to_owned()),
        Expr::Payload { base: 2, offset: 0 | 2, length: 2 } => {
            bytes.try_into().map(|port| u16::from_be_bytes(port).to_string()).ok()
        }
        Expr::Payload { base: 1, offset: 12 | 16, length: 1..=4 } => {
            beginning(bytes).map(|address: [u8; 4]| Ipv4Addr::from(address).to_string() + &length(bytes, 4))
        }
        Expr::Payload { base: 1, offset: 8 | 24, length: 4..=16 } => {
            beginning(bytes).map(|address: [u8; 16]| Ipv6Addr::from(address).to_string() + &length(bytes, 16))
        }
        _ => None,
    };
    known.unwrap_or_else(|| hex(bytes))
}

fn is_address(load: &Expr) -> bool {
    matches!(
        load,
        Expr::Payload { base: 1, offset: 12 | 16, length: 4 } | Expr::Payload { base: 1, offset: 8 | 24, length: 16 }
    )
}

/// How many one bits a mask begins with, where it has no others.
fn prefix_length(mask: &[u8]) -> Option<u32> {
    let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
    let first = mask.iter().position(|byte| *byte != 0xff).unwrap_or(mask.len());
    let leading = mask.get(first).map_or(0, |byte| byte.leading_ones()) + u32::try_from(first * 8).ok()?;
    (ones == leading).then_some(leading)
}

/// An address that begins with these bytes and goes on with zeros.
fn beginning<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let mut address = [0; N];
    address.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(address)
}

/// The length of the prefix that so many bytes of an address are; nothing for a whole one.
fn length(bytes: &[u8], whole: usize) -> String {
    if bytes.len() == whole { String::new() } else { format!("/{}", bytes.len() * 8) }
}

/// The states of a mask: `NF_CT_STATE_BIT`.
fn states(mask: &[u8]) -> String {
    const NAMES: [(u32, &str); 5] = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
    let Ok(bits) = mask.try_into().map(u32::from_ne_bytes) else { return hex(mask) };
    let named: Vec<&str> = NAMES.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if NAMES.iter().fold(bits, |left, (bit, _)| left & !bit) == 0 { named.join(",") } else { hex(mask) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}
