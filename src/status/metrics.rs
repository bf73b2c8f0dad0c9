//! The status as metrics. Every label has few values: targets, families, limits, outcomes, reasons, receivers.
//!
//! Names follow Prometheus' practice: base units, `_total` on what only grows. Counters of traffic are the firewall's
//! own: they begin at zero when its rules are written anew, as `rate` expects of a counter. They are as of the last
//! read of the target, `tagwall_target_last_read_timestamp_seconds`.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Counted, Status, TargetStatus};
use crate::targets::Requests;

/// The two forms that Prometheus reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The older one, which the collector of text files and `promtool check metrics` read, too.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Form {
    /// What a client that sent this `Accept` header is given.
    pub fn accepted(header: Option<&str>) -> Self {
        if header.is_some_and(|header| header.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }

    /// The media type that it is sent as.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The status in the format of Prometheus.
pub fn render(status: &Status, form: Form) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(status.clone())));
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = text::encode(&mut out, &registry);
    match form {
        Form::OpenMetrics => out,
        Form::Text => older(&out),
    }
}

/// Writes the status where node_exporter's collector of text files picks it up: it may read at any moment, as another
/// user, and takes no timestamps.
///
/// # Errors
/// Where the file cannot be written. What was there before stays.
pub fn write(status: &Status, path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".tagwall-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(render(status, Form::Text).as_bytes())?;
    fs::set_permissions(file.path(), Permissions::from_mode(0o644))?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The older form of the same: there the metric of a counter is named with its `_total`, and nothing marks the end.
fn older(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    // The help of a metric comes before its type, which alone tells how it is named.
    let mut help = None;
    for line in open_metrics.lines() {
        if line.starts_with("# HELP ") {
            help = Some(line);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            let total = if kind == "counter" { "_total" } else { "" };
            let text = help.take().and_then(|help| help.splitn(4, ' ').nth(3)).unwrap_or_default();
            let text = text.strip_suffix('.').unwrap_or(text);
            out.extend(["# HELP ", name, total, " ", text, "\n# TYPE ", name, total, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.extend([line, "\n"]);
        }
    }
    out
}

type Labels = Vec<(&'static str, String)>;
type Samples = Vec<(Labels, f64)>;

/// A status that is written as metrics.
#[derive(Debug)]
struct Families(Status);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Writer(&mut encoder);
        families.daemon(&self.0)?;
        families.passes(&self.0)?;
        families.publication(&self.0)?;
        families.targets(&self.0.targets)?;
        families.traffic(&self.0.targets)?;
        if self.0.daemon.is_none() {
            // Of one pass there is nothing to count.
            return Ok(());
        }
        families.totals(&self.0)?;
        families.counts(&self.0.targets)?;
        families.requests(&self.0)?;
        families.receivers(&self.0)
    }
}

struct Writer<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Writer<'_, '_> {
    fn gauge(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let samples: Samples = samples.into_iter().collect();
        if samples.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        if let [(labels, value)] = samples.as_slice()
            && labels.is_empty()
        {
            return ConstGauge::new(*value).encode(family);
        }
        for (labels, value) in &samples {
            ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }

    /// The name goes without `_total`.
    fn counter(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels, f64)>) -> fmt::Result {
        let samples: Samples = samples.into_iter().collect();
        if samples.is_empty() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        if let [(labels, value)] = samples.as_slice()
            && labels.is_empty()
        {
            return ConstCounter::new(*value).encode(family);
        }
        for (labels, value) in &samples {
            ConstCounter::new(*value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }

    fn daemon(&mut self, status: &Status) -> fmt::Result {
        let version = vec![("version", status.version.to_owned())];
        self.gauge("tagwall_build_info", "The version of tagwall; always 1", [(version, 1.0)])?;
        let ready = flag(status.not_ready.is_empty());
        self.gauge("tagwall_ready", "Whether every enforcing target was last seen right", alone(ready))?;
        let Some(daemon) = &status.daemon else { return Ok(()) };
        let started = seconds(daemon.started);
        self.gauge("tagwall_start_timestamp_seconds", "When the daemon started", alone(started))?;
        let next = daemon.next_pass.map(seconds).map(only);
        self.gauge("tagwall_next_pass_timestamp_seconds", "When the schedule asks for the next pass", next)?;
        let failed = flag(daemon.reload_failure.is_some());
        let help = "Whether the configuration on disk could not be taken at the last reload";
        self.gauge("tagwall_reload_failed", help, alone(failed))
    }

    fn passes(&mut self, status: &Status) -> fmt::Result {
        if let Some(last) = &status.last_pass {
            let help = "When the last whole pass began";
            self.gauge("tagwall_last_pass_timestamp_seconds", help, alone(seconds(last.started)))?;
            let help = "How long the last whole pass took, fetching included";
            self.gauge("tagwall_last_pass_duration_seconds", help, alone(last.seconds))?;
            let help = "Whether the source failed in the last whole pass";
            self.gauge("tagwall_source_failed", help, alone(flag(last.source_failure.is_some())))?;
        }
        Ok(())
    }

    fn totals(&mut self, status: &Status) -> fmt::Result {
        let totals = &status.totals;
        let passes = totals.passes.iter().map(|(reason, outcome, count)| {
            (vec![("reason", (*reason).to_owned()), ("outcome", (*outcome).to_owned())], whole(*count))
        });
        self.counter("tagwall_passes", "Passes by what woke them and by their worst outcome", passes)?;
        let help = "Time spent in passes, fetching and waiting included";
        self.counter("tagwall_pass_seconds", help, alone(totals.pass_seconds))?;
        let fetches = totals.fetches.iter().map(|(result, count)| (label("result", result), whole(*count)));
        self.counter("tagwall_fetches", "Fetches of the publication by result", fetches)
    }

    fn publication(&mut self, status: &Status) -> fmt::Result {
        let Some(publication) = &status.publication else { return Ok(()) };
        let mut of = |name: &str, help: &str, value: Option<f64>| {
            self.gauge(name, help, value.map(|value| (label("cloud", publication.cloud), value)))
        };
        let number = whole(publication.change_number);
        of("tagwall_publication_change_number", "Microsoft's number of the publication gone by", Some(number))?;
        let since = seconds(publication.since);
        of("tagwall_publication_timestamp_seconds", "The publication's date, or when it was first seen", Some(since))?;
        let age = publication.age_seconds as f64;
        of("tagwall_publication_age_seconds", "How long ago that was", Some(age))?;
        of("tagwall_publication_stale", "Whether that is longer than `stale`", Some(flag(publication.stale)))?;
        let confirmed = publication.confirmed.map(seconds);
        let help = "When the source last said that this is its newest";
        of("tagwall_publication_confirmed_timestamp_seconds", help, confirmed)?;
        let left = publication.seconds_left.map(|left| left as f64);
        let help = "What is left of the week after that in which Microsoft uses no new ranges";
        of("tagwall_publication_left_seconds", help, left)
    }

    fn targets(&mut self, targets: &[TargetStatus]) -> fmt::Result {
        let mut each = |name: &str, help: &str, value: &dyn Fn(&TargetStatus) -> Option<f64>| {
            self.gauge(name, help, targets.iter().filter_map(|target| Some((of(target), value(target)?))))
        };
        each("tagwall_target_in_sync", "Whether the last pass left the target as it should be", &|target| {
            target.outcome.map(|_| flag(target.in_sync))
        })?;
        each(
            "tagwall_target_enforced",
            "Whether the last read showed the rules around the entries in place",
            &|target| target.read.as_ref().map(|read| flag(read.in_place && target.standing.withdrawn.is_none())),
        )?;
        each("tagwall_target_drift_entries", "Entries and rules that would have to change", &|target| {
            target.read.as_ref().map(|read| whole(read.drift))
        })?;
        each("tagwall_target_pending_removals", "Prefixes that are admitted and no longer desired", &|target| {
            target.read.as_ref().map(|read| whole(read.pending_removals))
        })?;
        each("tagwall_target_last_attempt_timestamp_seconds", "When a pass last looked at the target", &|target| {
            target.last_attempt.map(seconds)
        })?;
        each("tagwall_target_last_success_timestamp_seconds", "When the target was last seen right", &|target| {
            target.last_success.map(seconds)
        })?;
        each("tagwall_target_last_read_timestamp_seconds", "When the target was last read", &|target| {
            target.read.as_ref().map(|read| seconds(read.at))
        })?;
        each("tagwall_target_withdrawn", "Whether the rules were taken away on purpose", &|target| {
            Some(flag(target.standing.withdrawn.is_some()))
        })?;
        each("tagwall_target_paused", "Whether the target is not to be written", &|target| {
            Some(flag(target.standing.paused.is_some()))
        })?;
        each("tagwall_target_pinned", "Whether the target is to stay at its generation", &|target| {
            Some(flag(target.standing.pinned.is_some()))
        })?;
        each(
            "tagwall_target_held",
            "Whether a change was not confirmed, and none is made until somebody says so",
            &|target| Some(flag(target.standing.held.is_some())),
        )?;
        each("tagwall_target_generation", "The generation that the target was last seen right with", &|target| {
            target.standing.generation.map(whole)
        })?;
        let info = targets.iter().map(|target| {
            let more = [("provider", target.provider.to_owned()), ("policy", target.policy.to_owned())];
            ([of(target), more.to_vec()].concat(), 1.0)
        });
        self.gauge("tagwall_target_info", "What the target is; always 1", info)?;
        let refused = targets.iter().flat_map(|target| {
            target.refusals.iter().map(|refusal| ([of(target), label("limit", &refusal.limit)].concat(), 1.0))
        });
        self.gauge("tagwall_target_refused", "Limits that stood against the last pass", once(refused))?;
        self.sizes(targets)
    }

    fn sizes(&mut self, targets: &[TargetStatus]) -> fmt::Result {
        let mut each = |name: &str, help: &str, value: &dyn Fn(&super::Reading, bool) -> f64| {
            let samples = targets.iter().filter_map(|target| Some((target, target.read.as_ref()?)));
            let samples = samples.flat_map(|(target, read)| {
                let of = |family| [of(target), label("family", family)].concat();
                [(of("ipv4"), value(read, false)), (of("ipv6"), value(read, true))]
            });
            self.gauge(name, help, samples)
        };
        let pick = |sizes: super::Sizes, v6: bool| if v6 { sizes.ipv6 } else { sizes.ipv4 };
        each("tagwall_target_desired_prefixes", "Prefixes that should be admitted", &|read, v6| {
            pick(read.desired, v6).prefixes as f64
        })?;
        each("tagwall_target_desired_addresses", "Addresses that should be admitted", &|read, v6| {
            pick(read.desired, v6).addresses.as_f64()
        })?;
        each(
            "tagwall_target_widened_addresses",
            "Addresses that are on no list, admitted to save prefixes",
            &|read, v6| {
                let addresses = if v6 { &read.widened.ipv6 } else { &read.widened.ipv4 };
                addresses.parse().unwrap_or_default()
            },
        )?;
        each("tagwall_target_enforced_prefixes", "Prefixes that are admitted, read back", &|read, v6| {
            pick(read.enforced, v6).prefixes as f64
        })?;
        each("tagwall_target_enforced_addresses", "Addresses that are admitted, read back", &|read, v6| {
            pick(read.enforced, v6).addresses.as_f64()
        })
    }

    fn traffic(&mut self, targets: &[TargetStatus]) -> fmt::Result {
        let mut each = |name: &str, help: &str, value: fn(Counted) -> u64| {
            let counted = targets.iter().filter_map(|target| Some((target, target.read.as_ref()?.traffic?)));
            let samples = counted.flat_map(|(target, traffic)| {
                [
                    ("admitted", "ipv4", traffic.admitted_ipv4),
                    ("admitted", "ipv6", traffic.admitted_ipv6),
                    ("established", "any", traffic.established),
                    ("dropped", "any", traffic.dropped),
                ]
                .map(|(verdict, family, counted)| {
                    let labels = [of(target), label("verdict", verdict), label("family", family)].concat();
                    (labels, whole(value(counted)))
                })
            });
            self.counter(name, help, samples)
        };
        let help = "Packets that the rules judged since they were last written, as of the last read";
        each("tagwall_target_packets", help, |counted| counted.packets)?;
        let help = "Bytes that the rules judged since they were last written, as of the last read";
        each("tagwall_target_bytes", help, |counted| counted.bytes)
    }

    fn counts(&mut self, targets: &[TargetStatus]) -> fmt::Result {
        // Of a target that was never looked at, or by one pass alone, there is nothing to count.
        let seen = || targets.iter().filter(|target| target.outcome.is_some());
        let changes = seen().map(|target| (of(target), whole(target.counts.changes)));
        self.counter("tagwall_target_changes", "Passes that changed the target", changes)?;
        let heals = seen().map(|target| (of(target), whole(target.counts.heals)));
        self.counter("tagwall_target_drift_heals", "Passes that undid what somebody else did to it", heals)?;
        let conflicts = seen().map(|target| (of(target), whole(target.counts.conflicts)));
        let help = "Reads that were made again because the target moved meanwhile";
        self.counter("tagwall_target_conflicts", help, conflicts)?;
        let failures = seen().flat_map(|target| {
            let all = target.counts.failures.iter();
            all.map(|(class, count)| ([of(target), label("class", class)].concat(), whole(*count)))
        });
        self.counter("tagwall_target_failures", "Passes that failed on the target, by class", failures)?;
        let refusals = seen().flat_map(|target| {
            let all = target.counts.refusals.iter();
            all.map(|(limit, count)| ([of(target), label("limit", limit)].concat(), whole(*count)))
        });
        self.counter("tagwall_target_refusals", "Passes that were refused, by limit", refusals)
    }

    fn requests(&mut self, status: &Status) -> fmt::Result {
        let each = |value: fn(&Requests) -> Option<u64>| {
            let told = move |asked: &Requests| Some((label("provider", asked.provider), whole(value(asked)?)));
            status.requests.iter().filter_map(told)
        };
        self.counter("tagwall_api_calls", "Calls of a cloud's API", each(|asked| Some(asked.calls)))?;
        let help = "Calls of a cloud's API that were tried again, each time";
        self.counter("tagwall_api_retries", help, each(|asked| Some(asked.retries)))?;
        let help = "The fewest writes that a subscription was last said to have left";
        self.gauge("tagwall_api_remaining_writes", help, each(|asked| asked.remaining_writes))
    }

    fn receivers(&mut self, status: &Status) -> fmt::Result {
        let each = |value: fn(&super::Receiver) -> f64| {
            status.receivers.iter().map(move |receiver| (label("receiver", &receiver.name), value(receiver)))
        };
        let sent = each(|receiver| whole(receiver.sent));
        self.counter("tagwall_notifications_sent", "Notifications that a receiver took", sent)?;
        let failed = each(|receiver| whole(receiver.failed));
        self.counter("tagwall_notifications_failed", "Deliveries that failed, to be tried again", failed)?;
        let dropped = each(|receiver| whole(receiver.dropped));
        self.counter("tagwall_notifications_dropped", "Changes never told because too many waited", dropped)?;
        let pending = each(|receiver| receiver.pending as f64);
        self.gauge("tagwall_notifications_pending", "What waits to be told", pending)
    }
}

fn of(target: &TargetStatus) -> Labels {
    label("target", &target.name)
}

fn label(name: &'static str, value: &str) -> Labels {
    vec![(name, value.to_owned())]
}

/// The one sample of a metric without labels.
fn only(value: f64) -> (Labels, f64) {
    (Labels::new(), value)
}

fn alone(value: f64) -> [(Labels, f64); 1] {
    [only(value)]
}

/// Each set of labels once: a target may be refused twice by one limit, for two lists.
fn once(samples: impl Iterator<Item = (Labels, f64)>) -> Samples {
    let mut all: Samples = samples.collect();
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all.dedup_by(|(one, _), (other, _)| one == other);
    all
}

const fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

/// Exact below 2^53, which takes 285 years at a thousand a millisecond.
const fn whole(count: u64) -> f64 {
    count as f64
}

fn seconds(moment: Timestamp) -> f64 {
    moment.as_millisecond() as f64 / 1000.0
}
