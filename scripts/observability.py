#!/usr/bin/env python3
"""Shows that what the daemon tells reaches people: metrics, rules and dashboard, with a real Prometheus.

    observability.py TAGWALL

Run it as root of a network namespace of its own. Needs prometheus, promtool and nft. Checks, in this order:

* the rules and their tests (promtool)
* a scrape of a running daemon, in both forms, and the text file of `sync --metrics-file` (promtool check metrics)
* that Prometheus scrapes the daemon and answers with its series
* that every expression of rules and dashboard is understood, and names only metrics that there are
* that alerts fire: for what is refused, and for what is not enforced
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ALERTS = Path(__file__).resolve().parent.parent / "packaging" / "alerts"
METRICS = "http://127.0.0.1:9408"
PROMETHEUS = "http://127.0.0.1:9090"
PATIENCE = 90

CONFIG = """
owner = "observability"
[source]
kind = "file"
path = "feed.json"
[state]
dir = "state"
[limits]
special = ["documentation"]
[metrics]
listen = "127.0.0.1:9408"
[lists.entra]
tags = ["AzureActiveDirectory"]
[targets.edge]
lists = ["entra"]
nftables = {}
[targets.broken]
lists = ["entra"]
nftables = { mode = "set", table = "inet absent", v4 = "azure4" }
[notify.deaf]
kind = "command"
command = ["/bin/false"]
"""

# Metrics that a scenario of this length does not bring about; `notify::tests` and `status::tests` do.
NOT_SEEN = {"tagwall_api_calls_total", "tagwall_api_retries_total", "tagwall_api_remaining_writes"}


def promtool(*arguments, text=None):
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stderr.strip():
        sys.exit(f"promtool {' '.join(map(str, arguments))}:\n{done.stdout}{done.stderr}")
    return done.stdout


def get(url, accept="*/*"):
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Content-Type", ""), error.read().decode()
    except OSError:
        return 0, "", ""


def until(what, is_so):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.2)
    sys.exit(f"{what}: not within {PATIENCE} s")


def query(expression):
    url = f"{PROMETHEUS}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
    status, _, text = get(url)
    if status != 200:
        sys.exit(f"Prometheus does not take `{expression}`: {text}")
    return json.loads(text)["data"]["result"]


def feed(change_number, prefixes):
    tag = {
        "name": "AzureActiveDirectory",
        "id": "AzureActiveDirectory",
        "properties": {
            "changeNumber": change_number, "region": "", "regionId": 0, "platform": "Azure",
            "systemService": "AzureAD", "addressPrefixes": prefixes, "networkFeatures": ["API", "NSG"],
        },
    }
    Path("feed.json").write_text(json.dumps({"changeNumber": change_number, "cloud": "Public", "values": [tag]}))


@contextlib.contextmanager
def running(name, *command):
    with open(f"{name}.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield process
    except BaseException:
        print(f"--- {name}", Path(f"{name}.log").read_text(encoding="utf-8")[-3000:], sep="\n", file=sys.stderr)
        raise
    finally:
        process.terminate()
        process.wait(timeout=30)


def dashboard_expressions():
    dashboard = json.loads((ALERTS / "grafana-dashboard.json").read_text(encoding="utf-8"))
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)) or not expressions:
        sys.exit("the dashboard's panels are not what they should be")
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    for used in set(re.findall(r"\$\{?([a-z_]+)", " ".join(expressions))) - {"__rate_interval"}:
        if used not in variables:
            sys.exit(f"the dashboard uses a variable that it has not: {used}")
    filled = [text.replace("$__rate_interval", "5m").replace("$instance", ".*").replace("$target", ".*") for text in expressions]
    return filled


def rule_expressions():
    groups = json.loads(get(f"{PROMETHEUS}/api/v1/rules")[2])["data"]["groups"]
    return [rule["query"] for group in groups for rule in group["rules"]]


def check_scrape(tagwall):
    for accept, kind in (("text/plain", "text/plain; version=0.0.4"), ("application/openmetrics-text", "application/openmetrics-text")):
        status, content_type, text = get(f"{METRICS}/metrics", accept)
        if status != 200 or not content_type.startswith(kind):
            sys.exit(f"/metrics as {accept}: status {status}, {content_type}")
        if kind.startswith("text/plain"):
            promtool("check", "metrics", text=text)
        elif not text.endswith("# EOF\n"):
            sys.exit("OpenMetrics has to end with `# EOF`")
    subprocess.run([tagwall, "-q", "-c", "tagwall.toml", "sync", "--metrics-file", "tagwall.prom"], stderr=subprocess.DEVNULL, check=False)
    text = Path("tagwall.prom").read_text(encoding="utf-8")
    promtool("check", "metrics", text=text)
    if Path("tagwall.prom").stat().st_mode & 0o777 != 0o644 or "tagwall_target_in_sync{target=\"edge\"} 1" not in text:
        sys.exit(f"the text file is not as it should be:\n{text}")
    print("promtool is content with the scrape and with the text file")


def check_expressions(known):
    expressions = dashboard_expressions() + rule_expressions()
    for expression in expressions:
        query(expression)
    named = set(re.findall(r"\btagwall_\w+", " ".join(expressions)))
    if named - known - NOT_SEEN:
        sys.exit(f"these are used and there are no such metrics: {sorted(named - known - NOT_SEEN)}")
    print(f"Prometheus takes all {len(expressions)} expressions, and each of their {len(named)} metrics is there")


def firing():
    alerts = json.loads(get(f"{PROMETHEUS}/api/v1/alerts")[2] or '{"data": {"alerts": []}}')["data"]["alerts"]
    return {(alert["labels"]["alertname"], alert["labels"].get("target")): alert for alert in alerts if alert["state"] == "firing"}


def scenario(tagwall, daemon):
    until("the first pass", lambda: "broken" in get(f"{METRICS}/readyz")[2] and "not ended" not in get(f"{METRICS}/readyz")[2])
    if get(f"{METRICS}/healthz")[0] != 200:
        sys.exit("/healthz: the daemon is not well")
    check_scrape(tagwall)
    until("a scrape", lambda: query('tagwall_target_in_sync{target="edge"} == 1 and on () up{job="tagwall"} == 1'))
    if ("TagwallTargetRefused", "edge") in firing():
        sys.exit("an alert fires before anything is wrong")

    # Two thirds are gone: refused.
    feed(11, ["192.0.2.0/26"])
    daemon.send_signal(signal.SIGHUP)
    alert = until("the alert for a refusal", lambda: firing().get(("TagwallTargetRefused", "edge")))
    if "edge" not in alert["annotations"]["summary"] or "loss" not in alert["annotations"]["summary"]:
        sys.exit(f"its words do not say what is wrong: {alert['annotations']}")
    until("the alert for a target that fails", lambda: ("TagwallTargetFailing", "broken") in firing())
    print(f"fires: {alert['annotations']['summary']}")
    names = json.loads(get(f"{PROMETHEUS}/api/v1/label/__name__/values")[2])["data"]
    check_expressions(set(names))

    # Taken away on purpose, and told all the same.
    subprocess.run([tagwall, "-q", "-c", "tagwall.toml", "withdraw", "--yes", "--target", "edge"], check=True)
    alert = until("the alert for what is not enforced", lambda: firing().get(("TagwallTargetNotEnforced", "edge")))
    print(f"fires: {alert['annotations']['summary']}")
    daemon.terminate()
    until("the alert for a daemon that is gone", lambda: ("TagwallDown", None) in firing())
    print("fires: the daemon is gone")


def main():
    tagwall = os.path.abspath(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.chdir(ALERTS)
    promtool("check", "rules", "tagwall.rules.yml")
    print(promtool("test", "rules", "tagwall.rules.test.yml").strip())
    with tempfile.TemporaryDirectory(prefix="tagwall-") as folder:
        os.chdir(folder)
        Path("tagwall.toml").write_text(CONFIG, encoding="utf-8")
        feed(10, ["192.0.2.0/24", "198.51.100.0/24", "2001:db8:1::/48"])
        # Nobody waits for hours here: the same rules, but each fires as soon as it is true.
        rules = (ALERTS / "tagwall.rules.yml").read_text(encoding="utf-8")
        Path("rules.yml").write_text(re.sub(r"(?m)^( +for:) .*$", r"\1 1s", rules), encoding="utf-8")
        Path("prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [rules.yml]\n"
            "scrape_configs:\n  - job_name: tagwall\n    static_configs: [{targets: ['127.0.0.1:9408']}]\n",
            encoding="utf-8",
        )
        with running("tagwall", tagwall, "-c", "tagwall.toml", "run") as daemon, running(
            "prometheus", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            "--web.listen-address=127.0.0.1:9090", "--log.level=warn",
        ):
            until("Prometheus", lambda: get(f"{PROMETHEUS}/-/ready")[0] == 200)
            scenario(tagwall, daemon)
        os.chdir("/")


if __name__ == "__main__":
    main()
