//! Which addresses may be asked at all.

use url::{Host, Url};

/// The hosts that are asked and followed, and nobody else.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    hosts: Vec<String>,
    /// Whether plain HTTP is admitted to loopback addresses, as mirrors on the same machine need.
    plain_on_loopback: bool,
}

impl Pins {
    /// Pins hosts, each `host` or `host:port`, 443 where no port is given.
    pub(super) fn new(hosts: &[String]) -> Self {
        let hosts = hosts.iter().map(|host| host.strip_suffix(":443").unwrap_or(host).to_owned()).collect();
        Self { hosts, plain_on_loopback: false }
    }

    /// Adds the host of a mirror, which may be plain HTTP on the loopback.
    pub(super) fn with_mirror(mut self, mirror: &Url) -> Self {
        self.hosts.extend(host_and_port(mirror));
        self.plain_on_loopback = true;
        self
    }

    /// Whether the address may be asked: https, a pinned host and port, and no user name in it, which only serves to
    /// make an address look like another.
    pub(super) fn admit(&self, url: &Url) -> bool {
        let protected = url.scheme() == "https" || self.plain_on_loopback && url.scheme() == "http" && is_loopback(url);
        let anonymous = url.username().is_empty() && url.password().is_none();
        let pinned = |named: String| self.hosts.iter().any(|host| host.eq_ignore_ascii_case(&named));
        protected && anonymous && host_and_port(url).is_some_and(pinned)
    }
}

/// Host and port as they are pinned, the default port left out.
fn host_and_port(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, download: bool, mirror: bool) {
        let hosts =
            ["download.microsoft.com".to_owned(), "pinned.example:443".to_owned(), "pinned.example:8443".to_owned()];
        let pins = Pins::new(&hosts);
        let url = Url::parse(url).unwrap();
        assert_eq!(pins.admit(&url), download, "{url}");
        for own in ["http://localhost:8080/x", "http://[::1]:8080/x", "http://mirror.example:8080/x"] {
            let pins = pins.clone().with_mirror(&Url::parse(own).unwrap());
            assert_eq!(
                pins.admit(&url),
                download || mirror && url.as_str().starts_with(&own[..own.len() - 1]),
                "{url}"
            );
        }
    }

    #[test]
    fn only_pinned_hosts_over_https_are_asked() {
        check("https://download.microsoft.com/a.json", true, true);
        check("https://DOWNLOAD.microsoft.COM:443/a.json", true, true);
        check("https://pinned.example/a.json", true, true);
        check("https://pinned.example:8443/a.json", true, true);

        check("http://download.microsoft.com/a.json", false, false);
        check("https://download.microsoft.com:8443/a.json", false, false);
        check("https://download.microsoft.com.evil.example/a.json", false, false);
        check("https://evil.example/download.microsoft.com/a.json", false, false);
        check("https://download.microsoft.com@evil.example/a.json", false, false);
        check("https://user@download.microsoft.com/a.json", false, false);
        check("https://download.microsoft.com./a.json", false, false);
        check("ftp://download.microsoft.com/a.json", false, false);
        check("file:///etc/passwd", false, false);
        check("javascript:alert(1)", false, false);
    }

    #[test]
    fn a_mirror_is_plain_on_the_loopback_alone() {
        check("http://localhost:8080/a.json", false, true);
        check("http://[::1]:8080/a.json", false, true);
        check("http://localhost:8081/a.json", false, false);
        check("http://mirror.example:8080/a.json", false, false);
    }
}
