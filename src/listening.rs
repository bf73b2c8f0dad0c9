//! Whether anything listens on a port of this host, from the kernel's own tables in /proc.

use crate::config::Protocol;

/// Ports of these that nothing on this host listens on. Empty where the kernel's tables cannot be read: then nothing is known.
///
/// In containers' namespaces something may listen that this cannot see: a matter for a warning, no more.
pub fn unheard(protocol: Protocol, ports: &[u16]) -> Vec<u16> {
    let name = protocol.name();
    let tables: Vec<String> = ["", "6"]
        .iter()
        .filter_map(|family| std::fs::read_to_string(format!("/proc/net/{name}{family}")).ok())
        .collect();
    if tables.is_empty() {
        return Vec::new();
    }
    let heard: Vec<u16> = tables.iter().flat_map(|table| listeners(protocol, table)).collect();
    ports.iter().copied().filter(|port| !heard.contains(port)).collect()
}

/// The local ports of listening sockets in a table as `/proc/net/tcp` prints it.
fn listeners(protocol: Protocol, table: &str) -> impl Iterator<Item = u16> + '_ {
    // TCP_LISTEN; a UDP socket that is bound and not connected is in state 7, TCP_CLOSE.
    let state = match protocol {
        Protocol::Tcp => "0A",
        Protocol::Udp => "07",
    };
    table.lines().skip(1).filter_map(move |line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, _remote, found) = (columns.next()?, columns.next()?, columns.next()?);
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        (found == state).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_told_from_connections() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
                     \x20  0: 0100007F:20FB 00000000:0000 0A 00000000:00000000\n\
                     \x20  1: 0100007F:01BB 0200007F:C350 01 00000000:00000000\n";
        assert_eq!(listeners(Protocol::Tcp, table).collect::<Vec<_>>(), [8443]);
        assert_eq!(listeners(Protocol::Udp, table).count(), 0);
        assert_eq!(listeners(Protocol::Tcp, "").count(), 0);
    }

    #[test]
    fn a_real_listener_is_heard() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(unheard(Protocol::Tcp, &[port]).is_empty());
        drop(listener);
        assert_eq!(unheard(Protocol::Tcp, &[port]), [port]);
    }
}
