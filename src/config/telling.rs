//! What tagwall tells of itself, and to whom: `[metrics]`, `[log]` and `[notify.NAME]`, as typed and as meant.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::TimeSpan;

/// A key, as a path, and what is wrong with its value.
type Problem = (String, String);

const DEFAULT_SOCKET_MODE: u32 = 0o660;
const DEFAULT_REPEAT: Duration = Duration::from_hours(24);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// A receiver that may keep a delivery for longer would be one that is never told anything else.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(5);

/// The files as typed.
pub mod raw {
    use super::{BTreeMap, Deserialize, IgnoredAny, JsonSchema, PathBuf, TimeSpan};

    /// Where the daemon serves /metrics, /status, /healthz and /readyz; nowhere by default.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Metrics {
        /// An address with its port (`"127.0.0.1:9408"`, `"[::1]:9408"`), or a socket (`"unix:/run/tagwall/metrics.sock"`).
        pub listen: Option<String>,
        /// Whether the address may be another than loopback: whoever reaches it reads it, over plain HTTP.
        pub public: bool,
        /// The mode of the socket, in octal; `"0660"` by default.
        #[schemars(regex(pattern = r"^0?[0-7]{3}$"))]
        pub socket_mode: Option<String>,
    }

    /// How and how much is logged. Read once, at the start.
    #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Log {
        /// In which form.
        pub format: LogFormat,
        /// How much; `"warn"` by default, `"info"` for the daemon. `-q`, `-v`, `TAGWALL_LOG` and `RUST_LOG` go first.
        pub level: Option<LogLevel>,
    }

    /// The form of the log.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum LogFormat {
        /// The journal's own where stderr leads to it, text elsewhere.
        #[default]
        Auto,
        /// Entries of the journal, with fields.
        Journald,
        /// A JSON object a line, on stderr.
        Json,
        /// Lines for people, on stderr.
        Text,
    }

    /// How much is logged.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum LogLevel {
        /// What failed.
        Error,
        /// And what is wrong.
        Warn,
        /// And what is done: a line a pass.
        Info,
        /// And how.
        Debug,
        /// And everything that libraries say.
        Trace,
    }

    /// Somebody who is told of changes, refusals, failures and their end by the daemon.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub struct Notify {
        /// What is sent.
        pub kind: Kind,
        /// Refused: an address is a secret and does not stand in this file.
        #[serde(default)]
        #[schemars(skip)]
        pub url: Option<IgnoredAny>,
        /// A file whose one line is the address to post to. It is a secret: let nobody else read the file.
        #[serde(default)]
        pub url_file: Option<PathBuf>,
        /// The same as a systemd credential (`LoadCredential=`): its name.
        #[serde(default)]
        pub credential: Option<String>,
        /// For `kind = "command"`: the program and its arguments; the event comes on stdin, as for `webhook`.
        #[serde(default)]
        pub command: Vec<String>,
        /// A PEM file of further certificate authorities.
        #[serde(default)]
        pub extra_ca: Option<PathBuf>,
        /// Of what; everything by default.
        #[serde(default)]
        pub on: Option<Vec<Subject>>,
        /// After how long the same trouble is told again; `"24h"` by default, `"0s"` for never.
        #[serde(default)]
        pub repeat: Option<TimeSpan>,
        /// How long one delivery may take, at most 5 m; `"10s"` by default.
        #[serde(default)]
        pub timeout: Option<TimeSpan>,
    }

    /// What a receiver is sent.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Kind {
        /// The event as JSON, by POST.
        Webhook,
        /// A message for an incoming webhook of Slack, and of what understands the same (Mattermost, Rocket.Chat).
        Slack,
        /// An adaptive card for a workflow of Microsoft Teams ("When a Teams webhook request is received").
        Teams,
        /// The event as JSON, on the standard input of a program.
        Command,
    }

    /// What a notification is about.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    pub enum Subject {
        /// A target admits other addresses than before.
        Change,
        /// Somebody else changed what tagwall enforces, and it was put back.
        Drift,
        /// A limit stands against a change.
        Refusal,
        /// A target, the source or the configuration on disk cannot be used.
        Failure,
        /// The publication is old.
        Staleness,
        /// The end of a refusal, a failure or staleness that was told.
        Recovery,
    }

    /// Receivers by name.
    pub type Receivers = BTreeMap<String, Notify>;
}

/// Where the daemon answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// On an address.
    Address(SocketAddr),
    /// On a socket of this mode.
    Socket {
        /// Its path.
        path: PathBuf,
        /// Its mode bits.
        mode: u32,
    },
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => write!(f, "http://{address}"),
            Self::Socket { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// How and how much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// In which form.
    pub format: raw::LogFormat,
    /// How much, where the file says so.
    pub level: Option<raw::LogLevel>,
}

/// Somebody who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// How it is reached.
    pub channel: Channel,
    /// Of what it is told.
    pub on: Vec<raw::Subject>,
    /// After how long the same trouble is told again; never where it is `None`.
    pub repeat: Option<Duration>,
    /// How long one delivery may take.
    pub timeout: Duration,
}

/// How a receiver is reached. An address is known by where it is kept alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// By POST.
    Post {
        /// In which form.
        form: Form,
        /// Where the address is kept.
        address: Kept,
        /// Further authorities to trust.
        extra_ca: Option<PathBuf>,
    },
    /// On the standard input of this program with these arguments.
    Command(Vec<String>),
}

/// In which form an event is posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As JSON of our own.
    Webhook,
    /// As Slack takes it.
    Slack,
    /// As a workflow of Teams takes it.
    Teams,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In a file.
    File(PathBuf),
    /// Among the service's credentials, under this name.
    Credential(String),
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Post { form, address, .. } => {
                let form = match form {
                    Form::Webhook => "webhook",
                    Form::Slack => "slack",
                    Form::Teams => "teams",
                };
                match address {
                    Kept::File(path) => write!(f, "{form}, address in {}", path.display()),
                    Kept::Credential(name) => write!(f, "{form}, address in the credential {name}"),
                }
            }
            Self::Command(words) => write!(f, "command {}", words.first().map(String::as_str).unwrap_or_default()),
        }
    }
}

pub(super) fn resolve_metrics(raw: &raw::Metrics) -> Result<Option<Listen>, Problem> {
    let problem = |key: &str, problem: String| (format!("metrics.{key}"), problem);
    let mode = match &raw.socket_mode {
        None => DEFAULT_SOCKET_MODE,
        Some(text) => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 => mode,
            _ => return Err(problem("socket-mode", format!("has `{text}`, which is no mode; write it like \"0660\""))),
        },
    };
    let Some(listen) = &raw.listen else {
        return if raw.public || raw.socket_mode.is_some() {
            Err(problem("listen", "is missing: without it nothing is served".to_owned()))
        } else {
            Ok(None)
        };
    };
    if let Some(path) = listen.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err(problem("listen", format!("has `{path}`: the path of a socket must begin with `/`")));
        }
        return Ok(Some(Listen::Socket { path: path.into(), mode }));
    }
    if raw.socket_mode.is_some() {
        return Err(problem("socket-mode", "goes with `listen = \"unix:/…\"` only".to_owned()));
    }
    let address: SocketAddr = listen.parse().map_err(|_| {
        problem(
            "listen",
            format!("has `{listen}`: write an address and a port like \"127.0.0.1:9408\", or \"unix:/…\""),
        )
    })?;
    if !address.ip().to_canonical().is_loopback() && !raw.public {
        let why = "others can reach: what is served tells who may pass the firewall, in the clear; \
                   use loopback or a socket behind a proxy, or set `public = true`";
        return Err(problem("listen", format!("has `{address}`, which {why}")));
    }
    Ok(Some(Listen::Address(address)))
}

pub(super) fn resolve_log(raw: &raw::Log) -> Log {
    Log { format: raw.format, level: raw.level }
}

pub(super) fn resolve_receivers(raw: raw::Receivers, relative_to: &Path) -> Result<Vec<Receiver>, Problem> {
    raw.into_iter().map(|(name, raw)| resolve_receiver(name, raw, relative_to)).collect()
}

fn resolve_receiver(name: String, raw: raw::Notify, relative_to: &Path) -> Result<Receiver, Problem> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err((
            format!("notify.{name}"),
            "is no name: use letters, digits, `-`, `_` and `.`, at most 64".to_owned(),
        ));
    }
    let problem = |key: &str, problem: &str| (format!("notify.{name}.{key}"), problem.to_owned());
    if raw.url.is_some() {
        let why = "does not belong here: whoever knows it can post. Keep it in a file (`url-file`) or a systemd \
                   credential (`credential`)";
        return Err(problem("url", why));
    }
    let form = match raw.kind {
        raw::Kind::Webhook => Some(Form::Webhook),
        raw::Kind::Slack => Some(Form::Slack),
        raw::Kind::Teams => Some(Form::Teams),
        raw::Kind::Command => None,
    };
    let channel = match (form, raw.url_file, raw.credential) {
        (Some(form), file, credential) => {
            if !raw.command.is_empty() {
                return Err(problem("command", "goes with `kind = \"command\"` only"));
            }
            let address = match (file, credential) {
                (Some(path), None) => Kept::File(relative_to.join(path)),
                (None, Some(name)) if !name.is_empty() && !name.contains('/') && name != ".." && name != "." => {
                    Kept::Credential(name)
                }
                (None, Some(_)) => return Err(problem("credential", "is no name of a credential")),
                (None, None) => return Err(problem("url-file", "is missing: where is the address kept?")),
                (Some(_), Some(_)) => return Err(problem("credential", "and `url-file` exclude each other")),
            };
            Channel::Post { form, address, extra_ca: raw.extra_ca.map(|path| relative_to.join(path)) }
        }
        (None, None, None) if raw.extra_ca.is_none() => match raw.command.first() {
            Some(program) if program.starts_with('/') => Channel::Command(raw.command),
            Some(_) => return Err(problem("command", "must begin with the whole path of the program")),
            None => return Err(problem("command", "is missing: `kind = \"command\"` needs it")),
        },
        (None, ..) => return Err(problem("kind", "`command` takes no address and no authorities")),
    };
    let all = [
        raw::Subject::Change,
        raw::Subject::Drift,
        raw::Subject::Refusal,
        raw::Subject::Failure,
        raw::Subject::Staleness,
        raw::Subject::Recovery,
    ];
    let on = raw.on.unwrap_or_else(|| all.to_vec());
    if on.is_empty() {
        return Err(problem("on", "is empty: it would be told nothing"));
    }
    let timeout = raw.timeout.map_or(DEFAULT_TIMEOUT, |span| span.0);
    if timeout.is_zero() || timeout > LONGEST_TIMEOUT {
        return Err(problem("timeout", "must be more than nothing and at most 5 m"));
    }
    let repeat = Some(raw.repeat.map_or(DEFAULT_REPEAT, |span| span.0)).filter(|span| !span.is_zero());
    Ok(Receiver { name, channel, on, repeat, timeout })
}
