//! Datagrams in fragments, of which only the first carries the port: the rest matches no rule of a port, and comes to
//! nothing without the first. IPv6 is put together behind the input hook, unless connection tracking does it before.

use std::io::IoSlice;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendmsg, socket};
use tagwall_nftables::{Established, Hook, Mode, Nftables, Protocol, Settings};

use crate::packets::{ALLOWED, HOST, PATIENCE, REFUSED, clients};
use crate::support::{Namespace, in_namespace, list, nft, pass, prefixes, settings};

const PORT: u16 = 8443;
const MARKER: &[u8] = b"marker";
/// Three fragments on Ethernet.
const LARGE: [u8; 4000] = [7; 4000];

fn send(family: usize, from: &str, bytes: &[u8]) {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    socket.send_to(bytes, (HOST[family], PORT)).unwrap();
}

/// Whether anything comes through of what is sent. What follows it on the same way, and is admitted, tells when to
/// stop waiting.
fn comes(server: &UdpSocket, clients: &Namespace, family: usize, sent: impl Fn() + Send + Sync) -> bool {
    clients.run(|| {
        sent();
        send(family, ALLOWED[family], MARKER);
    });
    let (mut came, mut buffer) = (false, [0; 5000]);
    loop {
        let length = server.recv(&mut buffer).unwrap();
        if buffer[..length] == *MARKER {
            return came;
        }
        came = true;
    }
}

/// A datagram from a client in two fragments, the first of which holds so many bytes of an empty header of options (8),
/// of that of UDP (8) and of the data (16).
fn send_in_two(from: &str, first: usize) {
    const FRAGMENT: u8 = 44;
    const OPTIONS: u8 = 60;
    const UDP: u8 = 17;
    let (source, destination): (Ipv6Addr, Ipv6Addr) = (from.parse().unwrap(), HOST[1].parse().unwrap());
    let data = [b'x'; 16];
    let length = u16::try_from(8 + data.len()).unwrap();
    let mut udp = [40_000u16, PORT, length, 0].map(u16::to_be_bytes).concat();
    udp.extend(data);
    let pseudo = [&source.octets()[..], &destination.octets(), &[0, 0], &length.to_be_bytes(), &[0, 0, 0, UDP], &udp];
    let sum: u32 = pseudo.concat().chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    // Six bytes of padding.
    let whole = [&[UDP, 0, 1, 4, 0, 0, 0, 0][..], &udp].concat();

    let raw = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).unwrap();
    let to = SockaddrIn6::from(SocketAddrV6::new(destination, 0, 0, 0));
    for (offset, part) in [(0, &whole[..first]), (first, &whole[first..])] {
        let more = u16::from(offset == 0);
        let payload = u16::try_from(8 + part.len()).unwrap();
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend(payload.to_be_bytes());
        packet.extend([FRAGMENT, 64]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        packet.extend([OPTIONS, 0]);
        packet.extend((u16::try_from(offset).unwrap() | more).to_be_bytes());
        packet.extend(u32::try_from(first).unwrap().to_be_bytes());
        packet.extend(part);
        sendmsg(raw.as_raw_fd(), &[IoSlice::new(&packet)], &[], MsgFlags::empty(), Some(&to)).unwrap();
    }
}

/// What came in pieces, counted before anybody puts them together.
fn fragments() -> u64 {
    let listing = list("table inet watch");
    let packets = |line: &str| line.split_once("counter packets ")?.1.split(' ').next()?.parse::<u64>().ok();
    listing.lines().filter_map(packets).sum()
}

fn check(hook: Hook, established: Established) {
    in_namespace(|| {
        let clients = clients();
        nft("table inet watch { chain before {
            type filter hook prerouting priority -450; policy accept;
            ip frag-off & 0x3fff != 0 counter
            exthdr frag exists counter
        }; }");
        let server = UdpSocket::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))).unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let large =
            |family: usize, from: [&str; 2]| comes(&server, &clients, family, || send(family, from[family], &LARGE));
        let in_two = |from: [&str; 2], first| comes(&server, &clients, 1, || send_in_two(from[1], first));
        // Without rules everything comes, in fragments; but for a first one without the header of UDP, which the kernel
        // itself drops (since Linux 5.11), whether or not connection tracking looks at it.
        for family in 0..2 {
            assert!(large(family, REFUSED));
        }
        assert!(in_two(REFUSED, 16) && in_two(REFUSED, 24));
        assert!(fragments() >= 2 * 3 + 2 * 2, "nothing came in fragments, so nothing is shown");

        let mode = Mode::Enforce { hook, established, priority: None };
        let provider = Nftables::new(Settings { mode, protocol: Protocol::Udp, ..settings() }).unwrap();
        pass(&provider, &prefixes("192.0.2.10/32 2001:db8::10/128"));
        for family in 0..2 {
            assert!(large(family, ALLOWED), "{} is admitted", ALLOWED[family]);
            assert!(!large(family, REFUSED), "{} came in", REFUSED[family]);
        }
        for first in [16, 24] {
            assert!(in_two(ALLOWED, first), "the first {first} bytes apart");
            assert!(!in_two(REFUSED, first), "the first {first} bytes apart");
        }
        // The port stands in the second fragment.
        assert!(!in_two(REFUSED, 8));
    });
}

#[test]
fn fragments_on_input() {
    check(Hook::Input, Established::Cut);
}

#[test]
fn fragments_on_input_with_connection_tracking() {
    check(Hook::Input, Established::Keep);
}

#[test]
fn fragments_on_prerouting() {
    check(Hook::Prerouting, Established::Cut);
}

#[test]
fn fragments_on_prerouting_with_connection_tracking() {
    check(Hook::Prerouting, Established::Keep);
}
