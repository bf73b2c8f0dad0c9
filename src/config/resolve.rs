//! From the file as typed to what it means.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use tagwall_provider::{Family, IpNet, Ipv4Net, OwnerMark, PrefixSet};
use url::Url;

use super::{Backend, Config, List, Origin, Target, Widen, aws, azure, raw, sources, telling};
use crate::confirm::{By, Confirm};
use crate::limits::Limits;
use crate::schedule::{LONGEST_JITTER, Schedule};

/// A key, as a path, and what is wrong with its value.
pub(super) type Problem = (String, String);

const DEFAULT_PORT: u16 = 8443;
const DEFAULT_CRON: &str = "23 */6 * * *";
const DEFAULT_JITTER: Duration = Duration::from_mins(10);
const DEFAULT_GENERATIONS: usize = 32;
const DEFAULT_CONFIRM: Duration = Duration::from_secs(30);
const LONGEST_CONFIRM: Duration = Duration::from_mins(1);
const DEFAULT_STALE: Duration = Duration::from_hours(21 * 24);

pub(super) fn resolve(raw: raw::Config, origin: Origin) -> Result<Config, Problem> {
    let owner_is_host = raw.owner.is_none();
    let owner = raw.owner.unwrap_or_else(host_name);
    // The owner is checked apart, so that a fault in it is not reported of some target.
    OwnerMark::new(&owner, "x").map_err(|error| ("owner".to_owned(), error.to_string()))?;

    let global = Limits::default().with(&raw.limits).map_err(|(key, problem)| (format!("limits.{key}"), problem))?;
    let lists = raw
        .lists
        .into_iter()
        .map(|(name, list)| Ok((name.clone(), resolve_list(&name, &list, &global)?)))
        .collect::<Result<BTreeMap<_, _>, Problem>>()?;
    let relative_to = match &origin {
        Origin::File(path) => path.parent().unwrap_or(Path::new("")),
        Origin::Defaults => Path::new(""),
    };
    let confirm = resolve_confirm("confirm", raw.confirm, relative_to)?;
    let targets = raw
        .targets
        .into_iter()
        .map(|(name, mut target)| {
            let own = resolve_confirm(&format!("targets.{name}.confirm"), target.confirm.take(), relative_to)?;
            let target = resolve_target(&owner, name, target, &lists, relative_to)?;
            Ok(Target { confirm: own.or_else(|| confirm.clone()), ..target })
        })
        .collect::<Result<Vec<_>, Problem>>()?;
    refuse_fights(&targets)?;
    if let Some(target) = targets.iter().find(|target| owner_is_host && !target.backend.is_local()) {
        let problem = format!(
            "is missing: the marks of target `{}` are not on this host, and another host has to know them again",
            target.name
        );
        return Err(("owner".to_owned(), problem));
    }
    let generations = raw.state.generations.unwrap_or(DEFAULT_GENERATIONS);
    if generations < 2 {
        return Err((
            "state.generations".to_owned(),
            "must be at least 2: the last one, and one to go back to".to_owned(),
        ));
    }
    Ok(Config {
        source: sources::resolve(raw.source, relative_to)?,
        schedule: resolve_schedule(&raw.schedule, &owner)?,
        limits: global,
        stale: raw.limits.stale.map_or(DEFAULT_STALE, |span| span.0),
        state_dir: raw.state.dir.map(|dir| relative_to.join(dir)),
        listen: telling::resolve_metrics(&raw.metrics)?,
        log: telling::resolve_log(&raw.log),
        receivers: telling::resolve_receivers(raw.notify, relative_to)?,
        generations,
        sha256: None,
        origin,
        owner,
        owner_is_host,
        lists,
        targets,
    })
}

/// The name of this host, as far as an owner mark can carry it.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain: String =
        name.trim().chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).take(48).collect();
    if plain.is_empty() { "localhost".to_owned() } else { plain }
}

fn resolve_schedule(raw: &raw::Schedule, owner: &str) -> Result<Schedule, Problem> {
    let key = |part: &str| format!("schedule.{part}");
    let jitter = raw.jitter.map_or(DEFAULT_JITTER, |span| span.0);
    if jitter > LONGEST_JITTER {
        return Err((key("jitter"), "is longer than 24 h".to_owned()));
    }
    let zone = match &raw.time_zone {
        None => TimeZone::system(),
        Some(name) => TimeZone::get(name).map_err(|_| {
            let known = "write one such as `Europe/Berlin` or `UTC` (they come with the package `tzdata`)";
            (key("time-zone"), format!("names `{name}`, which is no time zone known here; {known}"))
        })?,
    };
    let line = raw.cron.as_deref().unwrap_or(DEFAULT_CRON);
    Schedule::new(line, jitter, zone, owner).map_err(|problem| (key("cron"), problem))
}

fn resolve_confirm(key: &str, raw: Option<raw::Confirm>, relative_to: &Path) -> Result<Option<Confirm>, Problem> {
    let Some(raw) = raw else { return Ok(None) };
    let by = match (raw.command, raw.url_file) {
        (Some(command), None) if command.first().is_some_and(|program| !program.is_empty()) => By::Command(command),
        (Some(_), None) => return Err((format!("{key}.command"), "is empty: name a program".to_owned())),
        (None, Some(path)) => By::UrlFile(relative_to.join(path)),
        _ => return Err((key.to_owned(), "needs either `command` or `url-file`".to_owned())),
    };
    let timeout = raw.timeout.map_or(DEFAULT_CONFIRM, |span| span.0);
    if timeout.is_zero() {
        return Err((format!("{key}.timeout"), "must be more than nothing".to_owned()));
    }
    if timeout > LONGEST_CONFIRM {
        let problem = "is longer than 60 s: other commands wait for it, and no drift is mended meanwhile";
        return Err((format!("{key}.timeout"), problem.to_owned()));
    }
    Ok(Some(Confirm { by, timeout }))
}

fn resolve_list(name: &str, raw: &raw::List, global: &Limits) -> Result<List, Problem> {
    let key = |part: &str| format!("lists.{name}.{part}");
    OwnerMark::new("x", name).map_err(|error| (format!("lists.{name}"), error.to_string()))?;
    if raw.tags.is_empty() && raw.extra.is_empty() {
        return Err((key("tags"), "is empty: a list needs a tag, or a prefix in `extra`".to_owned()));
    }
    if let Some(blank) = raw.tags.iter().chain(&raw.regions).find(|text| text.trim() != **text || text.is_empty()) {
        return Err((key("tags"), format!("has `{blank}`, which is no name")));
    }
    if raw.limits.stale.is_some() {
        return Err((key("limits.stale"), "can only be set in `[limits]`: a publication has one age".to_owned()));
    }
    let families = match &raw.families {
        None => Family::ALL.to_vec(),
        Some(families) if families.is_empty() => {
            return Err((key("families"), "is empty: leave it out for both, or name one".to_owned()));
        }
        Some(families) => {
            Family::ALL.into_iter().filter(|family| families.iter().any(|named| named.is(*family))).collect()
        }
    };
    let tags = if raw.regions.is_empty() {
        raw.tags.clone()
    } else {
        let of_regions = |tag| raw.regions.iter().map(move |region| format!("{tag}.{region}"));
        raw.tags.iter().flat_map(of_regions).collect()
    };
    Ok(List {
        name: name.to_owned(),
        tags,
        families,
        extra: parse_prefixes(&key("extra"), &raw.extra)?,
        exclude: parse_prefixes(&key("exclude"), &raw.exclude)?,
        grace: raw.removal_grace.0,
        limits: global.with(&raw.limits).map_err(|(part, problem)| (key(&format!("limits.{part}")), problem))?,
    })
}

impl raw::Family {
    fn is(self, family: Family) -> bool {
        matches!((self, family), (Self::Ipv4, Family::V4) | (Self::Ipv6, Family::V6))
    }
}

fn parse_prefixes(key: &str, texts: &[String]) -> Result<PrefixSet, Problem> {
    let parse = |text: &String| {
        let prefix = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        let prefix =
            prefix.map_err(|_| (key.to_owned(), format!("has `{text}`, which is neither a prefix nor an address")))?;
        if prefix.trunc() != prefix {
            return Err((key.to_owned(), format!("has `{text}` with host bits set, write `{}`", prefix.trunc())));
        }
        if let Some(v4) = mapped(prefix) {
            let problem =
                format!("has `{text}`, which no packet carries: IPv4 packets are judged as such, write `{v4}`");
            return Err((key.to_owned(), problem));
        }
        Ok(prefix)
    };
    texts.iter().map(parse).collect()
}

/// The IPv4 prefix that one of mapped addresses (`::ffff:0:0/96`) stands for.
fn mapped(prefix: IpNet) -> Option<Ipv4Net> {
    let IpNet::V6(prefix) = prefix else { return None };
    let length = prefix.prefix_len().checked_sub(96)?;
    Ipv4Net::new(prefix.addr().to_ipv4_mapped()?, length).ok()
}

fn resolve_target(
    owner: &str,
    name: String,
    mut raw: raw::Target,
    lists: &BTreeMap<String, List>,
    relative_to: &Path,
) -> Result<Target, Problem> {
    let key = |part: &str| format!("targets.{name}.{part}");
    let mark = OwnerMark::new(owner, &name).map_err(|error| (format!("targets.{name}"), error.to_string()))?;
    if raw.lists.is_empty() {
        return Err((key("lists"), "is empty: name at least one list".to_owned()));
    }
    if let Some(unknown) = raw.lists.iter().find(|list| !lists.contains_key(*list)) {
        let known: Vec<&str> = lists.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "there are no lists".to_owned()
        } else {
            format!("there are `{}`", known.join("`, `"))
        };
        return Err((key("lists"), format!("names `{unknown}`, which is no list; {known}")));
    }
    let ports = match raw.ports.take() {
        None => vec![DEFAULT_PORT],
        Some(mut ports) => {
            ports.sort_unstable();
            ports.dedup();
            ports
        }
    };
    if ports.is_empty() || ports.contains(&0) {
        return Err((key("ports"), "needs at least one port, 1 to 65535".to_owned()));
    }
    let widen = raw.widen.as_ref().map(Widen::resolve).transpose();
    let widen = widen.map_err(|(part, problem)| (key(&format!("widen.{part}")), problem.to_owned()))?;
    let backend = resolve_backend(&name, &mut raw, relative_to)?;
    if widen.is_some() && backend.is_local() {
        return Err((key("widen"), "is for firewalls that are short of room: nftables is not".to_owned()));
    }
    let service_tag = match &backend {
        Backend::AzureNsg(nsg) if nsg.mode == azure::raw::Mode::ServiceTag => {
            let tag = service_tag(raw.lists.iter().filter_map(|list| lists.get(list)));
            let tag = tag.ok_or_else(|| {
                let problem = "`service-tag` takes one list of one tag, with both families and nothing extra, \
                               excluded or held by `removal-grace`: Azure admits the tag as it is";
                (key("azure-nsg.mode"), problem.to_owned())
            })?;
            if raw.policy == raw::Policy::AddOnly {
                let problem = "cannot be `add-only` where Azure keeps the tag and takes addresses out by itself";
                return Err((key("policy"), problem.to_owned()));
            }
            Some(tag)
        }
        _ => None,
    };
    Ok(Target {
        mark,
        service_tag,
        lists: raw.lists,
        ports,
        protocol: raw.protocol,
        policy: raw.policy,
        canary: raw.canary,
        confirm: None,
        widen,
        backend,
        name,
    })
}

/// The one tag that these lists come to, where they come to just that.
fn service_tag<'a>(mut lists: impl Iterator<Item = &'a List>) -> Option<String> {
    let (list, None) = (lists.next()?, lists.next()) else { return None };
    let plain = list.families == Family::ALL
        && list.extra.is_empty()
        && list.exclude.is_empty()
        && list.grace == crate::grace::Grace::None;
    match list.tags.as_slice() {
        [tag] if plain => Some(tag.clone()),
        _ => None,
    }
}

/// The one firewall of a target.
fn resolve_backend(name: &str, raw: &mut raw::Target, relative_to: &Path) -> Result<Backend, Problem> {
    let of = |table: &str, (part, problem): (String, String)| (format!("targets.{name}.{table}.{part}"), problem);
    let nftables = raw.nftables.take().map(|nftables| {
        if raw.protocol == raw::Protocol::Udp && nftables.hook == raw::Hook::Prerouting {
            let problem = "cannot be `prerouting` for UDP: broadcasts and multicasts would pass it; use `input`";
            return Err(of("nftables", ("hook".to_owned(), problem.to_owned())));
        }
        check_nftables(&nftables).map_err(|(part, problem)| of("nftables", (part.to_owned(), problem.to_owned())))?;
        Ok(Backend::Nftables(nftables))
    });
    let groups = raw.aws_security_groups.take().map(|groups| {
        let groups = aws::SecurityGroups::resolve(groups).map_err(|problem| of("aws-security-groups", problem));
        groups.map(Backend::AwsSecurityGroups)
    });
    let prefix_lists = raw.aws_prefix_lists.take().map(|lists| {
        let lists = aws::PrefixLists::resolve(lists).map_err(|problem| of("aws-prefix-lists", problem));
        lists.map(Backend::AwsPrefixLists)
    });
    let nsg = raw.azure_nsg.take().map(|nsg| {
        azure::Nsg::resolve(nsg, relative_to).map(Backend::AzureNsg).map_err(|problem| of("azure-nsg", problem))
    });
    let mut given = [nftables, groups, prefix_lists, nsg].into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(backend), None) => backend,
        (None, _) => {
            let problem = "has no firewall: give it one of `nftables`, `aws-security-groups`, `aws-prefix-lists` and \
                           `azure-nsg`, such as `nftables = {}`";
            Err((format!("targets.{name}"), problem.to_owned()))
        }
        (Some(_), Some(_)) => {
            Err((format!("targets.{name}"), "has several firewalls: make a target of each".to_owned()))
        }
    }
}

/// Checks the address of an API: credentials go there.
pub(super) fn endpoint(text: &str) -> Result<(), String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    let is_loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials, which have no place in this file".to_owned());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        _ => Err("must begin with `https://`: signatures and tokens are sent there".to_owned()),
    }
}

/// Refuses keys that belong to the other mode: they would be passed over in silence.
fn check_nftables(raw: &raw::Nftables) -> Result<(), (&'static str, &'static str)> {
    let of_set =
        [("table", raw.table.is_some()), ("v4", raw.v4.is_some()), ("v6", raw.v6.is_some()), ("adopt", raw.adopt)];
    let of_enforce = [
        ("hook", raw.hook != raw::Hook::default()),
        ("established", raw.established != raw::Established::default()),
        ("priority", raw.priority.is_some()),
        ("boot", raw.boot != raw::Boot::default()),
    ];
    match raw.mode {
        raw::Mode::Enforce => match of_set.into_iter().find(|(_, given)| *given) {
            Some((key, _)) => Err((key, "goes with `mode = \"set\"` only")),
            None => check_priority(raw),
        },
        raw::Mode::Set => {
            if let Some((key, _)) = of_enforce.into_iter().find(|(_, given)| *given) {
                return Err((key, "goes with `mode = \"enforce\"` only: in your own table your own chain decides"));
            }
            let table = raw
                .table
                .as_deref()
                .ok_or(("table", "is missing: `mode = \"set\"` needs the table, such as `inet filter`"))?;
            let named = matches!(table.split_once(' '), Some(("inet" | "ip" | "ip6", name)) if !name.is_empty() && !name.contains(' '));
            if !named {
                return Err(("table", "must be a family (`inet`, `ip` or `ip6`) and a name, such as `inet filter`"));
            }
            if raw.table.as_deref() == Some("inet tagwall") {
                return Err(("table", "is the table of tagwall's own chains: name one of yours"));
            }
            if raw.v4.is_some() && raw.v4 == raw.v6 {
                return Err(("v6", "is the set of `v4`: a set holds one family"));
            }
            if raw.v4.is_none() && raw.v6.is_none() {
                return Err(("v4", "is missing, and so is `v6`: name at least one set"));
            }
            Ok(())
        }
    }
}

/// Refuses priorities at which the rules would see packets too late, or connections too early.
fn check_priority(raw: &raw::Nftables) -> Result<(), (&'static str, &'static str)> {
    /// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_CONNTRACK`, of the kernel's netfilter headers.
    const DNAT: i32 = -100;
    const CONNECTION_TRACKING: i32 = -200;
    match (raw.hook, raw.established, raw.priority) {
        (raw::Hook::Prerouting, _, Some(DNAT..)) => {
            Err(("priority", "must be below -100 on prerouting: after DNAT the ports are others"))
        }
        (_, raw::Established::Keep, Some(..=CONNECTION_TRACKING)) => {
            Err(("priority", "must be above -200 with `established = \"keep\"`: before that no connection is known"))
        }
        _ => Ok(()),
    }
}

/// Refuses two targets that would undo or intersect each other.
fn refuse_fights(targets: &[Target]) -> Result<(), Problem> {
    for (index, target) in targets.iter().enumerate() {
        for other in &targets[..index] {
            if let Some(fight) = fight(target, other) {
                return Err((
                    format!("targets.{}", target.name),
                    format!("would fight with `targets.{}`: {fight}", other.name),
                ));
            }
        }
    }
    Ok(())
}

fn fight(one: &Target, other: &Target) -> Option<String> {
    let port = one.ports.iter().find(|port| other.ports.contains(port)).filter(|_| one.protocol == other.protocol);
    let remedy = "put both lists into one target";
    match (&one.backend, &other.backend) {
        (Backend::Nftables(a), Backend::Nftables(b)) => match (a.mode, b.mode) {
            // Whatever the hooks: an accept ends its own chain only.
            (raw::Mode::Enforce, raw::Mode::Enforce) => {
                let (protocol, port) = (one.protocol.name(), port?);
                Some(format!("both judge {protocol} port {port}, so only what both admit would pass; {remedy}"))
            }
            (raw::Mode::Set, raw::Mode::Set) if a.table == b.table => {
                let sets = |raw: &raw::Nftables| [raw.v4.clone(), raw.v6.clone()];
                let shared = sets(a).into_iter().flatten().find(|set| sets(b).contains(&Some(set.clone())))?;
                Some(format!("both fill the set `{shared}`; {remedy}"))
            }
            _ => None,
        },
        // EC2 holds equal content once: what both admit would be the one's, and a gap when that one lets it go.
        (Backend::AwsSecurityGroups(a), Backend::AwsSecurityGroups(b)) => {
            let (group, port, protocol) = (a.shared(b)?, port?, one.protocol.name());
            Some(format!("both open {protocol} port {port} in `{group}`; {remedy}"))
        }
        (Backend::AwsPrefixLists(a), Backend::AwsPrefixLists(b)) => {
            Some(format!("both fill the prefix list `{}`; {remedy}", a.shared(b)?))
        }
        (Backend::AzureNsg(a), Backend::AzureNsg(b)) if a.is_beside(b) => {
            if a.priority.abs_diff(b.priority) < azure::PRIORITY_BLOCK {
                let apart = azure::PRIORITY_BLOCK;
                return Some(format!("their priorities in `{}` are less than {apart} apart", a.nsg));
            }
            if one.name.eq_ignore_ascii_case(&other.name) {
                return Some(format!("their rules in `{}` would have the same names: Azure's know no case", a.nsg));
            }
            let (first, its, behind) = if a.priority < b.priority { (a, one, other) } else { (b, other, one) };
            let (port, protocol) = (port?, one.protocol.name());
            (first.deny && a.shares_destination(b)).then(|| {
                format!(
                    "`{}` closes {protocol} port {port} in `{}` before `{}` opens it; {remedy}",
                    its.name, a.nsg, behind.name
                )
            })
        }
        _ => None,
    }
}
