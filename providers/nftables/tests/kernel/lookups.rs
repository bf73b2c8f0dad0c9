//! What the kernel answers for one address, beside what `nft get element` gets.

use std::net::IpAddr;
use std::process::Command;

use tagwall_nftables::{Mode, Nftables, Settings, TableFamily};
use tagwall_provider::{Answer, Provider as _};

use crate::support::{edge, in_namespace, nft, pass, prefixes, settings, wait};

fn answer(provider: &Nftables, address: &str) -> Answer {
    wait(provider.look_up(address.parse().unwrap())).unwrap_or_else(|error| panic!("{address}: {error:?}"))
}

/// Whether nft finds an element that the address lies in.
fn nft_finds(set: &str, address: &str) -> bool {
    let element = format!("{{ {address} }}");
    let words = ["get", "element"].into_iter().chain(set.split(' ')).chain([element.as_str()]);
    Command::new("nft").args(words).output().unwrap().status.success()
}

#[test]
fn an_address_is_looked_up_as_nft_does() {
    in_namespace(|| {
        let provider = edge();
        // Nothing of ours is there yet.
        assert_eq!(answer(&provider, "192.0.2.1"), Answer::Outside);
        let set =
            prefixes("0.0.0.0/8 192.0.2.0/25 192.0.2.128/26 198.51.100.7/32 255.255.255.0/24 2001:db8::/48 ffff::/16");
        pass(&provider, &set);
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "1.0.0.0",
            "192.0.1.255",
            "192.0.2.0",
            "192.0.2.127",
            "192.0.2.128",
            "192.0.2.191",
            "192.0.2.192",
            "198.51.100.6",
            "198.51.100.7",
            "198.51.100.8",
            "255.255.254.255",
            "255.255.255.0",
            "255.255.255.255",
            "::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::",
            "2001:db8:0:ffff:ffff:ffff:ffff:ffff",
            "2001:db8:1::",
            "ffff::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let number: IpAddr = address.parse().unwrap();
            let inside = set.contains(number);
            assert_eq!(answer(&provider, address) == Answer::Inside, inside, "{address}");
            let name = format!("inet tagwall edge-{}", if number.is_ipv4() { "v4" } else { "v6" });
            assert_eq!(nft_finds(&name, address), inside, "nft and {address}");
        }
    });
}

#[test]
fn an_operators_set_is_asked_and_one_that_is_not_named_is_not() {
    in_namespace(|| {
        nft("add table ip site\nadd set ip site four { type ipv4_addr; flags interval; }\n\
             add element ip site four { 192.0.2.3-192.0.2.9 }\n");
        let mode = Mode::Set {
            family: TableFamily::Ip,
            table: "site".to_owned(),
            v4: Some("four".to_owned()),
            v6: None,
            claimed: true,
        };
        let provider = Nftables::new(Settings { mode, ..settings() }).unwrap();
        assert_eq!(answer(&provider, "192.0.2.5"), Answer::Inside);
        assert_eq!(answer(&provider, "192.0.2.2"), Answer::Outside);
        assert_eq!(answer(&provider, "2001:db8::1"), Answer::Outside);
        // The socket is good for more after an address that is not there.
        assert_eq!(wait(provider.observe()).unwrap().entries.len(), 1);
    });
}
