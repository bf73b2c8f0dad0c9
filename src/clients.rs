//! Who connects today, held against the lists: whom a target would shut out. Pure but for reading.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use tagwall_provider::PrefixSet;

use crate::report::number::{counted, thousands};

/// What stands between the words of a log line, besides white space. No colon: IPv6 addresses have those.
const BETWEEN: &[char] = &['"', '\'', '(', ')', '[', ']', '{', '}', '<', '>', ',', ';', '=', '|', '/'];

/// Who was seen in logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Lines read.
    pub lines: u64,
    /// Lines without an address.
    pub without: u64,
    /// In how many lines each address comes first.
    pub addresses: BTreeMap<IpAddr, u64>,
}

impl Seen {
    /// Reads a log of any form: of each line the first address counts, with or without a port. An IPv4 address that is
    /// mapped into IPv6 is the IPv4 address.
    ///
    /// # Errors
    /// Where it cannot be read on. Bytes that are no text are passed over.
    pub fn read(&mut self, mut log: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        while log.read_until(b'\n', &mut line)? > 0 {
            self.lines += 1;
            match first_address(&String::from_utf8_lossy(&line)) {
                Some(address) => *self.addresses.entry(address).or_default() += 1,
                None => self.without += 1,
            }
            line.clear();
        }
        Ok(())
    }
}

fn first_address(line: &str) -> Option<IpAddr> {
    line.split(|character: char| character.is_whitespace() || BETWEEN.contains(&character)).find_map(|word| {
        let word = word.trim_end_matches([':', '.']);
        let alone = || word.parse::<IpAddr>().ok();
        let with_port = || word.parse::<SocketAddr>().ok().map(|socket| socket.ip());
        alone().or_else(with_port).map(|address| address.to_canonical())
    })
}

/// So many addresses, in so many lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Addresses.
    pub addresses: u64,
    /// Lines in which they come first.
    pub lines: u64,
}

/// An address and in how many lines it comes first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Client {
    /// The address.
    pub address: IpAddr,
    /// Lines.
    pub lines: u64,
}

/// What a target would make of those who were seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OfTarget {
    /// The target.
    pub name: String,
    /// The firewall object, in words.
    pub object: String,
    /// Those it would let in.
    pub admitted: Count,
    /// Those it would shut out.
    pub shut_out: Count,
    /// The latter, by lines, most first.
    pub clients: Vec<Client>,
}

impl OfTarget {
    /// Holds everybody against what a target should admit. Loopback is admitted always.
    pub fn new(name: &str, object: String, desired: &PrefixSet, seen: &Seen) -> Self {
        let (mut admitted, mut shut_out, mut clients) = (Count::default(), Count::default(), Vec::new());
        for (&address, &lines) in &seen.addresses {
            let count = if address.is_loopback() || desired.contains(address) {
                &mut admitted
            } else {
                clients.push(Client { address, lines });
                &mut shut_out
            };
            count.addresses += 1;
            count.lines += lines;
        }
        clients.sort_by_key(|client| (std::cmp::Reverse(client.lines), client.address));
        Self { name: name.to_owned(), object, admitted, shut_out, clients }
    }
}

/// The same for people, so many clients for each target.
pub fn text(seen: &Seen, targets: &[OfTarget], most: usize) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = written(&mut out, seen, targets, most);
    out
}

fn written(out: &mut String, seen: &Seen, targets: &[OfTarget], most: usize) -> std::fmt::Result {
    let count = |count: Count| {
        let [addresses, lines] =
            [count.addresses, count.lines].map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        format!("{}, {}", counted(addresses, "address", "addresses"), counted(lines, "line", "lines"))
    };
    let all = Count { addresses: seen.addresses.len() as u64, lines: seen.lines };
    writeln!(out, "{}, {} without an address", count(all), thousands(seen.without))?;
    for target in targets {
        writeln!(out, "\n{}  {}", target.name, target.object)?;
        writeln!(out, "  would let in    {}", count(target.admitted))?;
        writeln!(out, "  would shut out  {}", count(target.shut_out))?;
        for Client { address, lines } in target.clients.iter().take(most) {
            writeln!(out, "    {address}  {}", thousands(*lines))?;
        }
        if let Some(more) = target.clients.len().checked_sub(most).filter(|more| *more > 0) {
            writeln!(out, "    … {} more, --most shows them", thousands(more))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::set;

    #[test]
    fn the_first_address_of_a_line_is_found_in_logs_of_any_form() {
        let check = |line: &str, expect: Option<&str>| {
            assert_eq!(first_address(line), expect.map(|text| text.parse().unwrap()), "{line}");
        };
        check("192.0.2.7 - - [22/Nov/2026:10:12:14 +0000] \"GET /scim/v2 HTTP/1.1\" 200", Some("192.0.2.7"));
        check("2026-11-22T10:12:14Z 192.0.2.7:50022 [198.51.100.1]:8443", Some("192.0.2.7"));
        check("kernel: IN=eth0 SRC=192.0.2.7 DST=198.51.100.1 DPT=8443", Some("192.0.2.7"));
        check("{\"time\":\"10:12\",\"client\":\"2001:db8::7\",\"port\":443}", Some("2001:db8::7"));
        check("client [2001:db8::7]:443", Some("2001:db8::7"));
        check("::ffff:192.0.2.7 ok", Some("192.0.2.7"));
        check("192.0.2.7: reset by peer", Some("192.0.2.7"));
        check("192.0.2.0/24 is a network", Some("192.0.2.0"));
        // Times, names of modules and versions are no addresses.
        check("10:12:14 std::fmt::bad v1.2.3 1.2.3.4.5 256.1.1.1", None);
        check("", None);
    }

    #[test]
    fn everybody_is_counted_once_and_lines_are_counted_all() {
        let mut seen = Seen::default();
        let log =
            b"192.0.2.1 a\n192.0.2.1 b\r\nno address\n198.51.100.1 c\n\xff\xfe\n2001:db8::1\n127.0.0.1".as_slice();
        seen.read(log).unwrap();
        assert_eq!((seen.lines, seen.without, seen.addresses.len()), (7, 2, 4));
        let of = OfTarget::new("edge", "there".to_owned(), &set(&["192.0.2.0/24"]), &seen);
        assert_eq!(of.admitted, Count { addresses: 2, lines: 3 });
        assert_eq!(of.shut_out, Count { addresses: 2, lines: 2 });
        let told = text(&seen, &[of], 1);
        assert!(told.starts_with("4 addresses, 7 lines, 2 without an address\n"), "{told}");
        assert!(told.contains("    198.51.100.1  1\n    … 1 more"), "{told}");
    }
}
