use super::*;
use crate::limits::Loss;
use crate::source::{Cloud, Kind};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("/etc/tagwall.toml")).map_err(|error| crate::chain::chain(&error))
}

#[track_caller]
fn refused(text: &str, expect: &str) {
    let error = parse(text).expect_err("a bad configuration was taken");
    assert!(error.contains(expect), "{error:?} does not say {expect:?}");
    assert!(error.contains("/etc/tagwall.toml"), "{error:?} does not name the file");
}

const ENTRA: &str = "[lists.entra]\ntags = [\"AzureActiveDirectory\"]\n";

#[test]
fn the_defaults_are_those_of_the_documentation() {
    let config = Config::defaults();
    assert_eq!(config.lists["entra"].tags, ["AzureActiveDirectory"]);
    let target = &config.targets[0];
    assert_eq!((target.ports.as_slice(), target.protocol, target.policy), (&[8443][..], Protocol::Tcp, Policy::Sync));
    assert_eq!(config.source.cloud, Cloud::Public);
    assert_eq!(config.source.kind, Kind::Download);
    assert_eq!(config.stale, Duration::from_hours(21 * 24));
    let limits = &config.lists["entra"].limits;
    assert_eq!((limits.loss, limits.growth), (Loss::Default, Percent(100.0)));
    assert_eq!((limits.too_broad.v4, limits.too_broad.v6), (12, 32));
    assert!(limits.special.is_empty());
}

#[test]
fn the_schedule_is_checked_when_it_is_read() {
    let next = |text: &str| {
        let now = "2026-07-01T00:00:00Z".parse().unwrap();
        parse(text).unwrap().schedule.next_after(now).unwrap().to_string()
    };
    assert_eq!(next("[schedule]\ncron = \"30 4 * * *\"\njitter = \"0s\"\ntime-zone = \"UTC\""), "2026-07-01T04:30:00Z");
    assert_eq!(
        next("[schedule]\ncron = \"30 4 * * *\"\njitter = \"0s\"\ntime-zone = \"Europe/Berlin\""),
        "2026-07-01T02:30:00Z"
    );
    // Every six hours and at most ten minutes later, whatever the zone of this system.
    assert_ne!(parse("owner = \"a\"").unwrap().schedule, parse("owner = \"b\"").unwrap().schedule);
    refused("[schedule]\ncron = \"@daily\"", "`schedule.cron` has `@daily`: write five fields");
    refused("[schedule]\njitter = \"25h\"", "`schedule.jitter` is longer than 24 h");
    refused("[schedule]\ntime-zone = \"Europe/Atlantis\"", "`schedule.time-zone` names `Europe/Atlantis`");
    refused("[schedule]\nseconds = 3", "unknown field `seconds`");
}

#[test]
fn the_annotated_example_and_every_other_one_is_valid() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut files = vec![dir.join("tagwall.toml")];
    files.extend(std::fs::read_dir(dir.join("examples")).unwrap().map(|entry| entry.unwrap().path()));
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let config = Config::read(&file).unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
        assert!(!config.targets.is_empty(), "{} has no target", file.display());
    }
}

#[test]
fn unknown_keys_are_errors_with_their_line() {
    refused("ownr = \"x\"", "line 1");
    refused("\n\n[limits]\nlos = \"5%\"", "line 4");
    refused(&format!("{ENTRA}\ntag = 1"), "unknown field `tag`");
    refused(&format!("{ENTRA}[targets.a]\nlists = [\"entra\"]\nnftables = {{ mod = \"set\" }}"), "unknown field `mod`");
    refused("[schedul]\ncron = \"1\"", "unknown field `schedul`");
}

#[test]
fn values_that_mean_nothing_are_named() {
    refused("owner = \"a/b\"", "`owner`");
    refused("[lists.a]\ntags = []", "`lists.a.tags`");
    refused("[lists.a]\ntags = [\" X\"]", "`lists.a.tags`");
    refused("[lists.a]\ntags = [\"X\"]\nfamilies = []", "`lists.a.families`");
    refused("[lists.a]\ntags = [\"X\"]\nextra = [\"192.0.2.1/24\"]", "write `192.0.2.0/24`");
    refused("[lists.a]\ntags = [\"X\"]\nextra = [\"192.0.2\"]", "`lists.a.extra`");
    refused("[lists.a]\ntags = [\"X\"]\nextra = [\"::ffff:192.0.2.0/120\"]", "write `192.0.2.0/24`");
    refused("[lists.a]\ntags = [\"X\"]\nexclude = [\"::ffff:192.0.2.1\"]", "write `192.0.2.1/32`");
    refused("[lists.a]\ntags = [\"X\"]\nexclude = [\"::ffff:0:0/96\"]", "write `0.0.0.0/0`");
    refused("[lists.\"a b\"]\ntags = [\"X\"]", "`lists.a b`");
    refused("[lists.a]\ntags = [\"X\"]\nlimits = { stale = \"1d\" }", "`lists.a.limits.stale`");
    refused("[limits]\nloss = \"-1%\"", "no share");
    refused("[limits]\nloss = 10", "line 2");
    refused("[limits]\nstale = \"soon\"", "no span of time");
    refused("[limits]\ntoo-broad = { v4 = 33 }", "`limits.too-broad`");
    refused("[source]\nkind = \"file\"", "`source.path`");
    refused("[source]\nkind = \"url\"", "`source.url`");
    refused("[source]\nkind = \"url\"\nurl = \"nonsense\"", "`source.url`");
    refused("[source]\npath = \"x\"", "`source.path`");
    refused("[source]\nattempts = 0", "`source.attempts`");
    refused("[source]\nlocation = \"westeurope\"", "`source.location` goes with `kind = \"discovery-api\"` only");
    refused("[source.compare]\nkind = \"file\"", "`source.compare.path` is missing");
    refused("[source.compare]\n[source.compare.compare]", "`source.compare.compare` is one too many");
    refused("[source.compare]\ncloud = \"china\"", "`source.compare.cloud` is another");
    refused("[source.compare]", "`source.compare.kind` makes it the source itself");
    refused("[source.compare]\nlast-good-max-age = \"1d\"", "`source.compare.last-good-max-age`");
    refused("[source]\ncloud = \"Public\"", "line 2");
}

#[test]
fn targets_need_lists_ports_and_a_firewall() {
    let target = |rest: &str| format!("{ENTRA}[targets.edge]\n{rest}");
    refused(&target("lists = []\nnftables = {}"), "`targets.edge.lists`");
    refused(&target("lists = [\"intra\"]\nnftables = {}"), "names `intra`, which is no list; there are `entra`");
    refused(&target("lists = [\"entra\"]"), "has no firewall");
    refused(&target("lists = [\"entra\"]\nports = []\nnftables = {}"), "`targets.edge.ports`");
    refused(&target("lists = [\"entra\"]\nports = [0]\nnftables = {}"), "`targets.edge.ports`");
    refused(&target("lists = [\"entra\"]\nnftables = { table = \"inet filter\" }"), "`targets.edge.nftables.table`");
    refused(&target("lists = [\"entra\"]\nnftables = { mode = \"set\" }"), "`targets.edge.nftables.table`");
    refused(
        &target("lists = [\"entra\"]\nnftables = { mode = \"set\", table = \"filter\", v4 = \"a\" }"),
        "must be a family",
    );
    refused(
        &target("lists = [\"entra\"]\nnftables = { mode = \"set\", table = \"inet filter\" }"),
        "name at least one set",
    );
    refused(
        &target(
            "lists = [\"entra\"]\nnftables = { mode = \"set\", table = \"inet f\", v4 = \"a\", hook = \"prerouting\" }",
        ),
        "`targets.edge.nftables.hook`",
    );
    let nftables = |options: &str| target(&format!("lists = [\"entra\"]\nnftables = {{ {options} }}"));
    refused(&nftables("hook = \"prerouting\", priority = -100"), "`targets.edge.nftables.priority`");
    refused(&nftables("established = \"keep\", priority = -200"), "`targets.edge.nftables.priority`");
    parse(&nftables("hook = \"prerouting\", priority = -101")).unwrap();
    parse(&nftables("established = \"keep\", priority = -199")).unwrap();
    refused(&nftables("mode = \"set\", table = \"inet tagwall\", v4 = \"a\""), "`targets.edge.nftables.table`");
    refused(&nftables("mode = \"set\", table = \"inet f\", v4 = \"a\", v6 = \"a\""), "`targets.edge.nftables.v6`");
    let udp = "lists = [\"entra\"]\nprotocol = \"udp\"\nnftables = { hook = \"prerouting\" }";
    refused(&target(udp), "`targets.edge.nftables.hook`");
    let config = parse(&target("lists = [\"entra\"]\nports = [9443, 8443, 8443]\nnftables = {}")).unwrap();
    assert_eq!(config.targets[0].ports, [8443, 9443]);
}

#[test]
fn targets_that_would_fight_are_refused() {
    let two = |one: &str, other: &str| {
        format!("{ENTRA}[targets.a]\nlists = [\"entra\"]\n{one}\n[targets.b]\nlists = [\"entra\"]\n{other}")
    };
    let enforce = "nftables = {}";
    refused(&two(enforce, enforce), "would fight with `targets.a`");
    refused(&two("ports = [1, 2]\nnftables = {}", "ports = [2, 3]\nnftables = {}"), "port 2");
    let set = "nftables = { mode = \"set\", table = \"inet f\", v4 = \"s\" }";
    refused(&two(set, set), "both fill the set `s`");
    refused(&two(enforce, "nftables = { hook = \"prerouting\" }"), "would fight with `targets.a`");
    // Negative controls: the same two, but apart.
    parse(&two("ports = [1]\nnftables = {}", "ports = [2]\nnftables = {}")).unwrap();
    parse(&two(enforce, "protocol = \"udp\"\nnftables = {}")).unwrap();
    parse(&two(set, "nftables = { mode = \"set\", table = \"inet f\", v4 = \"t\" }")).unwrap();
    parse(&two(set, "nftables = { mode = \"set\", table = \"inet g\", v4 = \"s\" }")).unwrap();
    parse(&two(set, enforce)).unwrap();
}

#[test]
fn regions_stand_in_place_of_the_global_tag() {
    let config = parse("[lists.a]\ntags = [\"Storage\", \"Sql\"]\nregions = [\"westeurope\", \"uksouth\"]").unwrap();
    assert_eq!(config.lists["a"].tags, ["Storage.westeurope", "Storage.uksouth", "Sql.westeurope", "Sql.uksouth"]);
}

#[test]
fn a_list_takes_the_global_limits_where_it_has_none_of_its_own() {
    let text = "[limits]\nloss = \"5%\"\ngrowth = \"50%\"\n[lists.a]\ntags = [\"X\"]\nlimits = { loss = \"30%\" }\n[lists.b]\ntags = [\"X\"]";
    let config = parse(text).unwrap();
    assert_eq!(
        (config.lists["a"].limits.loss, config.lists["a"].limits.growth),
        (Loss::Set(Percent(30.0)), Percent(50.0))
    );
    assert_eq!(config.lists["b"].limits.loss, Loss::Set(Percent(5.0)));
}

#[test]
fn bare_addresses_and_relative_paths_are_understood() {
    let text = "[source]\nkind = \"file\"\npath = \"tags.json\"\n[state]\ndir = \"state\"\n\
                [lists.a]\ntags = [\"X\"]\nextra = [\"192.0.2.1\", \"2001:db8::1\"]\nexclude = [\"198.51.100.0/24\"]";
    let config = parse(text).unwrap();
    assert_eq!(config.source.kind, Kind::File("/etc/tags.json".into()));
    assert_eq!(config.state_dir, Some("/etc/state".into()));
    assert_eq!(config.lists["a"].extra.to_string(), "192.0.2.1/32, 2001:db8::1/128");
    assert_eq!(config.lists["a"].exclude.to_string(), "198.51.100.0/24");
}

#[test]
fn spans_and_shares_are_read() {
    let span = |text: &str| text.parse::<TimeSpan>().map(|span| span.0.as_secs());
    assert_eq!(span("10m"), Ok(600));
    assert_eq!(span("21d"), Ok(21 * 86_400));
    assert_eq!(span("1h 30m"), Ok(5400));
    assert!(span("-1h").is_err() && span("10").is_err() && span("").is_err());
    assert_eq!("10%".parse(), Ok(Percent(10.0)));
    assert_eq!("0.5 %".parse(), Ok(Percent(0.5)));
    assert!(
        "10".parse::<Percent>().is_err() && "NaN%".parse::<Percent>().is_err() && "inf%".parse::<Percent>().is_err()
    );
}

#[test]
fn where_metrics_are_served_is_loopback_unless_said_otherwise() {
    let listen = |text: &str| parse(&format!("[metrics]\n{text}")).unwrap().listen.map(|listen| listen.to_string());
    assert_eq!(parse("").unwrap().listen, None);
    assert_eq!(listen("listen = \"127.0.0.1:9408\"").as_deref(), Some("http://127.0.0.1:9408"));
    assert_eq!(listen("listen = \"[::1]:9408\"").as_deref(), Some("http://[::1]:9408"));
    assert_eq!(listen("listen = \"192.0.2.1:9408\"\npublic = true").as_deref(), Some("http://192.0.2.1:9408"));
    let socket = parse("[metrics]\nlisten = \"unix:/run/x.sock\"").unwrap().listen;
    assert_eq!(socket, Some(Listen::Socket { path: "/run/x.sock".into(), mode: 0o660 }));
    let socket = parse("[metrics]\nlisten = \"unix:/run/x.sock\"\nsocket-mode = \"0600\"").unwrap().listen;
    assert_eq!(socket, Some(Listen::Socket { path: "/run/x.sock".into(), mode: 0o600 }));

    refused("[metrics]\nlisten = \"0.0.0.0:9408\"", "`metrics.listen` has `0.0.0.0:9408`, which others can reach");
    refused("[metrics]\nlisten = \"[::]:9408\"", "others can reach");
    refused("[metrics]\nlisten = \"[::ffff:192.0.2.1]:9408\"", "others can reach");
    refused("[metrics]\nlisten = \"localhost\"", "write an address and a port");
    refused("[metrics]\nlisten = \"unix:metrics.sock\"", "must begin with `/`");
    refused("[metrics]\nlisten = \"unix:/x\"\nsocket-mode = \"rw\"", "`metrics.socket-mode` has `rw`");
    refused("[metrics]\nlisten = \"unix:/x\"\nsocket-mode = \"4755\"", "`metrics.socket-mode`");
    refused("[metrics]\nlisten = \"127.0.0.1:1\"\nsocket-mode = \"0600\"", "`metrics.socket-mode` goes with");
    refused("[metrics]\npublic = true", "`metrics.listen` is missing");
}

#[test]
fn receivers_are_named_and_their_addresses_are_kept_elsewhere() {
    let notify = |rest: &str| format!("[notify.ops]\n{rest}");
    let receiver = |rest: &str| parse(&notify(rest)).unwrap().receivers.remove(0);
    let ops = receiver("kind = \"slack\"\nurl-file = \"ops.url\"");
    assert_eq!(ops.channel.to_string(), "slack, address in /etc/ops.url");
    assert_eq!((ops.repeat, ops.timeout), (Some(Duration::from_hours(24)), Duration::from_secs(10)));
    assert_eq!(ops.on.len(), 6);
    assert_eq!(receiver("kind = \"teams\"\ncredential = \"u\"\nrepeat = \"0s\"").repeat, None);
    let command = receiver("kind = \"command\"\ncommand = [\"/bin/tell\", \"secret\"]");
    assert_eq!(command.channel.to_string(), "command /bin/tell");

    let secret = "https://hooks.example.com/T0/B0/s3cr3t";
    let text = notify(&format!("kind = \"slack\"\nurl = \"{secret}\""));
    refused(&text, "`notify.ops.url` does not belong here");
    assert!(!parse(&text).unwrap_err().contains("s3cr3t"), "the error tells the secret");
    refused(&notify("kind = \"slack\""), "`notify.ops.url-file` is missing");
    refused(&notify("kind = \"slack\"\nurl-file = \"a\"\ncredential = \"b\""), "exclude each other");
    refused(&notify("kind = \"slack\"\ncredential = \"../b\""), "`notify.ops.credential`");
    refused(&notify("kind = \"slack\"\nurl-file = \"a\"\ncommand = [\"/b\"]"), "`notify.ops.command` goes with");
    refused(&notify("kind = \"command\""), "`notify.ops.command` is missing");
    refused(&notify("kind = \"command\"\ncommand = [\"tell\"]"), "the whole path");
    refused(&notify("kind = \"command\"\ncommand = [\"/tell\"]\nurl-file = \"a\""), "takes no address");
    refused(&notify("kind = \"email\""), "line 2");
    refused(&notify("kind = \"slack\"\nurl-file = \"a\"\non = []"), "`notify.ops.on` is empty");
    refused(&notify("kind = \"slack\"\nurl-file = \"a\"\ntimeout = \"1h\""), "`notify.ops.timeout`");
    refused("[notify.\"a b\"]\nkind = \"slack\"\nurl-file = \"a\"", "`notify.a b` is no name");
}

#[test]
fn what_rust_calls_a_type_is_told_in_words() {
    for (text, words) in [
        ("[lists.x]\ntags = \"A\"", "expected a list, as in `[\"a\", \"b\"]`"),
        ("[targets.x]\nlists = []\nports = [70000]", "expected a whole number from 0 to 65535"),
    ] {
        let error = Config::parse(text, Path::new("/etc/tagwall.toml")).unwrap_err();
        let told = crate::chain::chain(&error);
        assert!(told.contains(words), "{told}");
    }
}
