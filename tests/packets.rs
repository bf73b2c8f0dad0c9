//! Packets from one namespace into another, which tagwall guards.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::support::{EDGE, Namespace, World, with_namespaces};

/// A client in one namespace and a server in another, which tagwall guards.
struct Packets<'a> {
    world: World,
    outside: Namespace,
    sources: &'a [&'a str],
}

/// An attempt that is dropped has to be given up some time; one that is let through is over in a millisecond.
const GIVEN_UP: Duration = Duration::from_millis(700);

impl<'a> Packets<'a> {
    fn new(sources: &'a [&'a str]) -> Self {
        let (world, outside) = (World::empty(), Namespace::new());
        world.host.join(&outside);
        for source in sources {
            let length = if source.contains(':') { 128 } else { 32 };
            outside.address(&format!("{source}/{length}"));
            world.host.run("ip", &["route", "add", &format!("{source}/{length}"), "dev", "veth"]);
        }
        Self { world, outside, sources }
    }

    /// Serves a port for as long as the world lasts: every connection gets one byte. To be called while every
    /// source can connect: it waits until they do, since interfaces take a moment to find their neighbours.
    fn serve(&self, port: u16) {
        self.world.host.inside(|| {
            let listener = TcpListener::bind(("::", port)).unwrap();
            std::thread::spawn(move || {
                for connection in listener.incoming() {
                    let _ = connection.and_then(|mut connection| connection.write_all(b"!"));
                }
            });
        });
        let connects = |source| (0..20).any(|_| self.connects(source, port));
        assert!(self.sources.iter().all(|source| connects(source)), "the interfaces do not work");
    }

    /// Whether a connection from this source comes about and carries data.
    fn connects(&self, source: &str, port: u16) -> bool {
        let source: IpAddr = source.parse().unwrap();
        let server: IpAddr = if source.is_ipv4() { "10.77.0.1" } else { "fd77::1" }.parse().unwrap();
        self.outside.inside(|| connect(source, SocketAddr::new(server, port)))
    }
}

fn connect(source: IpAddr, server: SocketAddr) -> bool {
    connect_within(GIVEN_UP, source, server)
}

/// Whether a connection comes about and carries data within this time.
pub(crate) fn connect_within(given_up: Duration, source: IpAddr, server: SocketAddr) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let attempt = async {
        let socket = if source.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() };
        let socket = socket.unwrap();
        socket.bind(SocketAddr::new(source, 0)).unwrap();
        let mut stream = socket.connect(server).await?;
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut [0]).await
    };
    runtime.block_on(async { tokio::time::timeout(given_up, attempt).await }).is_ok_and(|done| done.is_ok())
}

#[test]
fn two_lists_on_one_port_admit_the_union_and_nobody_else() {
    with_namespaces(|| {
        let sources = ["192.0.2.7", "198.51.100.7", "203.0.113.7", "2001:db8:1::7", "2001:db8:2::7", "2001:db8:3::7"];
        let packets = Packets::new(&sources);
        packets.serve(8443);
        packets.serve(8080);
        let can = |port| sources.map(|source| packets.connects(source, port));
        assert_eq!(can(8443), [true; 6], "before anything is enforced");

        let world = &packets.world;
        world.config(
            "[lists.one]\ntags = [\"One\"]\n[lists.two]\ntags = [\"Two\"]\n\
             [targets.edge]\nlists = [\"one\", \"two\"]\nnftables = {}\n",
        );
        world.feed(
            10,
            &[("One", &["192.0.2.0/25", "2001:db8:1::/48"]), ("Two", &["198.51.100.0/24", "2001:db8:2::/48"])],
        );
        world.expect(0, "sync");
        assert_eq!(can(8443), [true, true, false, true, true, false]);
        assert_eq!(can(8080), [true; 6], "a port that is nobody's business was closed");
        let loopback = world.host.inside(|| {
            let local =
                |address: &str| connect(address.parse().unwrap(), SocketAddr::new(address.parse().unwrap(), 8443));
            (local("127.0.0.1"), local("::1"))
        });
        assert_eq!(loopback, (true, true), "loopback is always admitted");

        // A list for IPv4 alone closes IPv6.
        world.feed(11, &[("One", &["192.0.2.0/25"]), ("Two", &["198.51.100.0/24"])]);
        world.expect(3, "sync");
        assert_eq!(can(8443), [true, true, false, true, true, false], "a refused pass changed something");
        world.expect(0, "sync --override loss --reason test");
        assert_eq!(can(8443), [true, true, false, false, false, false]);

        world.expect(0, "withdraw --yes");
        assert_eq!(can(8443), [true; 6], "after withdraw the port is open to all, as it was");
    });
}

#[test]
fn a_connection_that_stands_is_cut_or_kept_as_configured() {
    with_namespaces(|| {
        let packets = Packets::new(&["192.0.2.7"]);
        let world = &packets.world;
        let goes_on = |established: &str| {
            world.config(&EDGE.replace("nftables = {}", &format!("nftables = {{ established = \"{established}\" }}")));
            world.feed(10, &[("AzureActiveDirectory", &["192.0.2.0/25", "198.51.100.0/24"])]);
            world.expect(0, "sync --override older-publication --reason test");
            let listener = world.host.inside(|| TcpListener::bind("10.77.0.1:8443").unwrap());
            let mut client = packets.outside.inside(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let socket = tokio::net::TcpSocket::new_v4().unwrap();
                    socket.bind("192.0.2.7:0".parse().unwrap()).unwrap();
                    let stream = socket.connect("10.77.0.1:8443".parse().unwrap()).await.unwrap();
                    let stream = stream.into_std().unwrap();
                    stream.set_nonblocking(false).unwrap();
                    stream
                })
            });
            let (mut server, _) = listener.accept().unwrap();
            exchange(&mut client, &mut server).expect("an admitted connection carries nothing");
            world.feed(11, &[("AzureActiveDirectory", &["198.51.100.0/24"])]);
            world.expect(0, "sync");
            let went = exchange(&mut client, &mut server).is_ok();
            assert!(!packets.connects("192.0.2.7", 8443), "a new connection is refused either way");
            went
        };
        assert!(!goes_on("cut"));
        assert!(goes_on("keep"));
    });
}

fn exchange(client: &mut TcpStream, server: &mut TcpStream) -> std::io::Result<()> {
    server.set_read_timeout(Some(GIVEN_UP))?;
    client.write_all(b"?")?;
    server.read_exact(&mut [0])
}
