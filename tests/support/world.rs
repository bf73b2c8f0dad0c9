//! One test's world: an empty directory, a host of its own, and the real program.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Addresses, Namespace};

/// The program under test.
pub(crate) const TAGWALL: &str = env!("CARGO_BIN_EXE_tagwall");

/// A list `entra` and one target `edge` on TCP 8443 that enforces.
pub(crate) const EDGE: &str = r#"
[lists.entra]
tags = ["AzureActiveDirectory"]
[targets.edge]
lists = ["entra"]
nftables = {}
"#;

/// So many IPv4 prefixes that do not touch, and two IPv6 ones. From 16 on, limits in percent judge a list.
pub(crate) fn many(count: usize) -> Vec<String> {
    let net = |number: usize| ["198.51.100", "203.0.113", "192.0.2"][number / 16];
    let v4 = (0..count).map(|number| format!("{}.{}/29", net(number), number % 16 * 16));
    v4.chain(["2001:db8:10::/48".to_owned(), "2001:db8:20::/48".to_owned()]).collect()
}

/// Two sets of prefixes with much in common in both families, and much that is not.
pub(crate) fn old_and_new() -> [Vec<String>; 2] {
    let all = many(48);
    let with = |v4: &[String], v6: &str| [v4, &["2001:db8:20::/48".to_owned(), v6.to_owned()]].concat();
    [with(&all[..36], "2001:db8:10::/48"), with(&all[12..48], "2001:db8:30::/48")]
}

/// Borrowed, as the builders take them.
pub(crate) fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A directory with a configuration and a feed, and a host to run on.
#[derive(Debug)]
pub(crate) struct World {
    dir: tempfile::TempDir,
    pub(crate) host: Namespace,
}

/// How a run of the program ended.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// A world with neither configuration nor feed.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::Builder::new().prefix("tagwall-").tempdir().unwrap();
        Self { dir, host: Namespace::new() }
    }

    /// A world with [`EDGE`] and a feed of these prefixes in the tag AzureActiveDirectory, change number 10.
    pub(crate) fn edge(prefixes: &[&str]) -> Self {
        let world = Self::empty();
        world.config(EDGE);
        world.feed(10, &[("AzureActiveDirectory", prefixes)]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Writes the configuration: owner `test`, `feed.json` as the source, documentation prefixes allowed.
    pub(crate) fn config(&self, text: &str) {
        let text = format!(
            "owner = \"test\"\n{text}\n[source]\nkind = \"file\"\npath = \"feed.json\"\nattempts = 1\n\
             [limits]\nspecial = [\"documentation\"]\n"
        );
        self.write("tagwall.toml", &text);
    }

    /// Writes the feed.
    pub(crate) fn feed(&self, change_number: u64, tags: &[(&str, &[&str])]) {
        self.write("feed.json", &document(change_number, tags));
    }

    /// The program with these words as arguments and nothing of this process's environment. Where there is a
    /// configuration and nothing else is said, it is used.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(TAGWALL);
        self.prepare(&mut command);
        let named = arguments.split_whitespace().any(|word| word == "-c" || word == "--config");
        if self.path("tagwall.toml").exists() && !named {
            command.args(["-c", "tagwall.toml"]);
        }
        command.args(arguments.split_whitespace());
        command
    }

    /// Puts a command into this world.
    pub(crate) fn prepare(&self, command: &mut Command) {
        assert!(
            !Path::new(tagwall::config::DEFAULT_PATH).exists(),
            "{} would be read in place of what the tests write",
            tagwall::config::DEFAULT_PATH
        );
        command
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("STATE_DIRECTORY", self.path("state"))
            .stdin(Stdio::null());
    }

    /// Runs the program with these words as arguments.
    pub(crate) fn tagwall(&self, arguments: &str) -> Run {
        self.finish(&mut self.command(arguments))
    }

    /// Runs a command on this world's host to its end.
    pub(crate) fn finish(&self, command: &mut Command) -> Run {
        let output = self.host.output(command);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let status = output.status.code().unwrap_or_else(|| panic!("killed: {:?}", output.status));
        Run { status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Starts a command on this world's host.
    pub(crate) fn spawn(&self, command: &mut Command) -> Child {
        self.host.inside(|| command.spawn().unwrap())
    }

    /// A run as a snapshot has it, with the directory's name left out.
    pub(crate) fn tell(&self, arguments: &str) -> String {
        self.telling(&self.tagwall(arguments))
    }

    /// The same of a run that is over.
    pub(crate) fn telling(&self, run: &Run) -> String {
        let mut text = format!("exit status {}\n", run.status);
        for (name, stream) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            if !stream.is_empty() {
                let _ = write!(text, "--- {name}\n{stream}");
            }
        }
        text.replace(&self.dir.path().display().to_string(), "DIR")
    }

    /// Runs the program, expecting this exit status.
    #[track_caller]
    pub(crate) fn expect(&self, status: i32, arguments: &str) -> Run {
        let run = self.tagwall(arguments);
        assert_eq!(run.status, status, "tagwall {arguments}: {}", self.telling(&run));
        run
    }

    /// What a target admits, by `nft -j`.
    pub(crate) fn admitted(&self, target: &str) -> Addresses {
        Addresses::admitted(&self.host, target)
    }

    /// The ruleset as text, without the figures of counters.
    pub(crate) fn ruleset(&self) -> String {
        self.host.run("nft", &["-s", "list", "ruleset"])
    }
}

impl Run {
    /// The result as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// A document of the public cloud with these tags.
pub(crate) fn document(change_number: u64, tags: &[(&str, &[&str])]) -> String {
    let value = |(name, prefixes): &(&str, &[&str])| {
        let region = name.split_once('.').map_or("", |(_, region)| region);
        json!({
            "name": name, "id": name,
            "properties": {
                "changeNumber": change_number, "region": region, "regionId": 0, "platform": "Azure",
                "systemService": "AzureAD", "addressPrefixes": prefixes, "networkFeatures": ["API", "NSG"],
            },
        })
    };
    let values: Vec<Value> = tags.iter().map(value).collect();
    serde_json::to_string_pretty(&json!({ "changeNumber": change_number, "cloud": "Public", "values": values }))
        .unwrap()
}
