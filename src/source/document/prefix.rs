//! Prefixes in their canonical spelling, and nothing else.
//!
//! One pass over the bytes both reads and checks: parsing first and comparing with the printed form costs three
//! times as much, and there are 96,000 of them.

use std::net::{Ipv4Addr, Ipv6Addr};

use tagwall_provider::{IpNet, Ipv4Net, Ipv6Net};

use super::PrefixError;

/// Reads a prefix that is spelled canonically (RFC 5952 for IPv6), has a length above 0 and no bits below it.
pub(super) fn read(text: &str) -> Result<IpNet, PrefixError> {
    canonical(text.as_bytes()).ok_or_else(|| explain(text))
}

fn canonical(text: &[u8]) -> Option<IpNet> {
    // The slash is among the last four bytes.
    let from_end = text.iter().rev().take(4).position(|byte| *byte == b'/')?;
    let (address, slash_and_length) = text.split_at(text.len() - from_end - 1);
    let length = decimal(&slash_and_length[1..])?;
    match v4_address(address) {
        Some(bits) if (1..=32).contains(&length) => {
            let below = bits.checked_shl(u32::from(length)).unwrap_or(0);
            let prefix = Ipv4Net::new(Ipv4Addr::from(bits), length).ok()?;
            (below == 0).then_some(IpNet::V4(prefix))
        }
        None if (1..=128).contains(&length) => {
            let bits = v6_address(address)?;
            let below = bits.checked_shl(u32::from(length)).unwrap_or(0);
            let prefix = Ipv6Net::new(Ipv6Addr::from(bits), length).ok()?;
            (below == 0).then_some(IpNet::V6(prefix))
        }
        _ => None,
    }
}

/// A number up to 255 without leading zeros.
fn decimal(digits: &[u8]) -> Option<u8> {
    if digits.is_empty() || digits.len() > 3 || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    let mut value = 0u16;
    for digit in digits {
        value = value * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u8::try_from(value).ok()
}

fn v4_address(text: &[u8]) -> Option<u32> {
    let mut parts = text.split(|byte| *byte == b'.');
    let mut bits = 0;
    for _ in 0..4 {
        bits = bits << 8 | u32::from(decimal(parts.next()?)?);
    }
    parts.next().is_none().then_some(bits)
}

/// An address as RFC 5952 writes it: lower case, no leading zeros, `::` for the first longest run of two or more
/// zero groups. The dotted form of mapped addresses is not admitted.
fn v6_address(text: &[u8]) -> Option<u128> {
    let (mut groups, mut count) = ([0u16; 8], 0);
    // Where `::` stands, in groups before it.
    let mut gap = None;
    let mut rest = text;
    if let Some(after) = rest.strip_prefix(b"::") {
        (gap, rest) = (Some(0), after);
    }
    while !rest.is_empty() {
        let digits = rest.iter().take_while(|byte| **byte != b':').count();
        *groups.get_mut(count)? = group(&rest[..digits])?;
        count += 1;
        rest = &rest[digits..];
        if let Some(after) = rest.strip_prefix(b"::") {
            if gap.replace(count).is_some() {
                return None;
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix(b":") {
            if after.is_empty() {
                return None;
            }
            rest = after;
        }
    }
    let written = match gap {
        None if count == 8 => None,
        Some(gap) if count <= 6 => {
            groups.copy_within(gap..count, 8 - (count - gap));
            groups[gap..8 - (count - gap)].fill(0);
            Some((gap, 8 - count))
        }
        _ => return None,
    };
    (longest_zeros(&groups) == written).then(|| Ipv6Addr::from(groups).into())
}

/// One to four lower-case hexadecimal digits without leading zeros.
fn group(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 4 || (digits.len() > 1 && digits[0] == b'0') {
        return None;
    }
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u16::from(digit))
    })
}

/// Start and length of the first longest run of zero groups, where one is of two or more.
fn longest_zeros(groups: &[u16; 8]) -> Option<(usize, usize)> {
    let mut longest = None;
    let mut start = 0;
    for end in 1..=8 {
        if groups[start] != 0 {
            start = end;
        } else if end == 8 || groups[end] != 0 {
            let length = end - start;
            if length >= 2 && longest.is_none_or(|(_, most)| length > most) {
                longest = Some((start, length));
            }
            start = end;
        }
    }
    longest
}

/// Why a text is not taken. Only errors come here, so it may be slow.
fn explain(text: &str) -> PrefixError {
    if text.contains(char::is_whitespace) {
        return PrefixError::WhiteSpace;
    }
    if text.parse::<std::net::IpAddr>().is_ok() {
        return PrefixError::NoLength;
    }
    match text.parse::<IpNet>() {
        Err(_) => PrefixError::NoPrefix,
        Ok(prefix) if prefix.prefix_len() == 0 => PrefixError::Whole,
        Ok(prefix) if prefix.addr() != prefix.network() => PrefixError::HostBits,
        Ok(_) => PrefixError::Spelling,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Result<(), PrefixError>) {
        assert_eq!(read(text).map(|prefix| assert_eq!(prefix.to_string(), text)), expect, "{text}");
    }

    #[test]
    fn canonical_prefixes_are_read() {
        for text in [
            "192.0.2.0/24",
            "198.51.100.7/32",
            "128.0.0.0/1",
            "2001:db8::/32",
            "2001:db8::1/128",
            "8000::/1",
            "::1/128",
            "2001:db8:0:1:1:1:1:1/128",
            "2001:0:0:1::1/128",
            "2001:db8::1:0:0:1/128",
            "1:2:3:4:5:6:7:8/128",
            "2001:db8:1:2:3:4::/96",
            "0:1::/32",
            "::2:0:0:0:1/128",
            "2001:db8:0:ff00::/56",
        ] {
            check(text, Ok(()));
        }
    }

    #[test]
    fn everything_else_is_named() {
        check("192.0.2.0", Err(PrefixError::NoLength));
        check("2001:db8::", Err(PrefixError::NoLength));
        check("192.0.2.0/24 ", Err(PrefixError::WhiteSpace));
        check("\t192.0.2.0/24", Err(PrefixError::WhiteSpace));
        check("0.0.0.0/0", Err(PrefixError::Whole));
        check("::/0", Err(PrefixError::Whole));
        check("192.0.2.1/24", Err(PrefixError::HostBits));
        check("2001:db8::1/127", Err(PrefixError::HostBits));
        check("2001:db8:0::/48", Err(PrefixError::Spelling));
        check("2001:DB8::/32", Err(PrefixError::Spelling));
        check("2001:0db8::/32", Err(PrefixError::Spelling));
        check("2001:db8::0:0/32", Err(PrefixError::Spelling));
        check("2001:db8::1:0:0:0/80", Err(PrefixError::Spelling));
        check("::ffff:192.0.2.0/120", Err(PrefixError::Spelling));
        for text in [
            "",
            "/",
            "/24",
            "192.0.2/24",
            "192.0.2.0.0/24",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "192.0.2.0/024",
            "192.0.2.0/+4",
            "192.00.2.0/24",
            "256.0.2.0/24",
            "192.0.2.0/24/24",
            "192.0.2.0/255.255.255.0",
            "2001:db8::/129",
            "2001::db8::/64",
            ":::/1",
            ":2001::/16",
            "2001:db8:/32",
            "1:2:3:4:5:6:7:8:9/128",
            "1:2:3:4:5:6:7/128",
            "12345::/20",
            "g::/16",
            "１92.0.2.0/24",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        /// What is printed is read, whatever it is.
        #[test]
        fn what_the_standard_library_prints_is_read(bits: u128, mask in 0u8..=0xff, length in 1u8..=128, v4_length in 1u8..=32) {
            // Groups with no bit in the mask are zero, or runs of zeros would be rare.
            let mut groups = Ipv6Addr::from(bits).segments();
            for (index, group) in groups.iter_mut().enumerate() {
                *group *= u16::from(mask >> index & 1);
            }
            let prefix = Ipv6Net::new(Ipv6Addr::from(groups), length)?.trunc();
            prop_assume!(prefix.addr().to_ipv4_mapped().is_none());
            prop_assert_eq!(read(&prefix.to_string()), Ok(IpNet::V6(prefix)));
            let [.., v4] = Ipv6Addr::from(bits).segments();
            let prefix = Ipv4Net::new(Ipv4Addr::from(u32::from(v4) << 16 | u32::from(v4)), v4_length)?.trunc();
            prop_assert_eq!(read(&prefix.to_string()), Ok(IpNet::V4(prefix)));
        }

        /// Nothing is read but what would be printed just so.
        #[test]
        fn nothing_else_is_read(text in "[0-9a-fA-F:.]{0,12}(::|:|\\.)[0-9a-f:]{0,9}/[0-9]{1,3}") {
            if let Ok(prefix) = read(&text) {
                prop_assert_eq!(prefix.to_string(), text);
                prop_assert_eq!(prefix.addr(), prefix.network());
            } else if let Ok(prefix) = text.parse::<IpNet>() {
                let canonical = prefix.to_string() == text && prefix.addr() == prefix.network() && prefix.prefix_len() > 0;
                let mapped = matches!(prefix, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some());
                prop_assert!(!canonical || mapped);
            }
        }
    }
}
