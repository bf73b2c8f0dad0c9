"""tagwall beside a plain script with Microsoft's Python client that does the same work, on the fake: 50 groups.

    FAKE_ARM=PROGRAM python bench.py TAGWALL [RUNS]

Prints wall time, calls and peak memory of each, medians over so many runs, of three passes: from nothing, with nothing
to do, and with a change. Each call is under way for 20 ms, as from afar, and operations have ended when they are first
looked at: nothing here says how fast Azure is.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from azure.mgmt.network import NetworkManagementClient

from fake import Fake

SUBSCRIPTION, GROUP, GROUPS = "00000000-0000-0000-0000-000000000001", "net", 50
DISTANCE = 20
MARK = "plain-script"
PASSES = [("from nothing", 0), ("nothing to do", 0), ("two of each go and come", 1)]


def prefixes(change):
    """40 IPv4 and 8 IPv6 prefixes of documentation space; with a change two have gone and two have come."""
    v4 = [f"{net}.{index * 16}/29" for net in ("192.0.2", "198.51.100", "203.0.113") for index in range(16)]
    v6 = [f"2001:db8:{index:x}::/48" for index in range(2, 34, 2)]
    return v4[2 * change : 40 + 2 * change], v6[2 * change : 8 + 2 * change]


def document(change):
    v4, v6 = prefixes(change)
    properties = {
        "changeNumber": 10 + change, "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureAD",
        "addressPrefixes": v4 + v6, "networkFeatures": ["API"],
    }
    tag = {"name": "AzureActiveDirectory", "id": "AzureActiveDirectory", "properties": properties}
    return json.dumps({"changeNumber": 10 + change, "cloud": "Public", "values": [tag]})


def plain(url, token, change):
    """What people write: one group after the other, list the rules, compare, put what differs."""
    class Credential:
        def get_token(self, *_, **__):
            from azure.core.credentials import AccessToken
            return AccessToken(token, int(time.time()) + 3600)

    client = NetworkManagementClient(Credential(), SUBSCRIPTION, base_url=url,
                                     credential_scopes=["https://management.azure.com/.default"], polling_interval=0)
    for number in range(GROUPS):
        there = {rule.name: rule for rule in client.security_rules.list(GROUP, f"nsg-{number}")}
        for place, (family, wanted) in enumerate(zip(("v4", "v6"), prefixes(change))):
            name = f"{MARK}-{family}"
            if name in there and sorted(there[name].source_address_prefixes) == sorted(wanted):
                continue
            rule = {"properties": {
                "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": 200 + place,
                "sourcePortRange": "*", "destinationPortRange": "8443", "sourceAddressPrefixes": wanted,
                "destinationAddressPrefix": "*", "description": MARK,
            }}
            client.security_rules.begin_create_or_update(GROUP, f"nsg-{number}", name, rule).result()


def configuration(fake):
    lines = [
        'owner = "bench"', "[source]", 'kind = "file"', 'path = "feed.json"', "[limits]", 'special = ["documentation"]',
        "[lists.entra]", 'tags = ["AzureActiveDirectory"]',
    ]
    for number in range(GROUPS):
        lines += [
            f"[targets.t{number}]", 'lists = ["entra"]',
            f'azure-nsg = {{ subscription = "{SUBSCRIPTION}", resource-group = "{GROUP}", nsg = "nsg-{number}", '
            f'priority = 200, endpoint = "{fake.url}", authority = "{fake.url}", extra-ca = "{fake.ca}" }}',
        ]
    return "\n".join(lines) + "\n"


def reset(fake):
    named = [{"subscription": SUBSCRIPTION, "resource_group": GROUP, "name": f"nsg-{number}"} for number in range(GROUPS)]
    fake.control("PUT", "state", {"nsgs": named})


def measured(fake, command, folder):
    """Wall time in seconds, calls of Resource Manager, and peak memory in MB."""
    fake.control("DELETE", "exchanges")
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    took = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    calls = sum(one["path"].startswith("/subscriptions/") for one in fake.control("GET", "exchanges"))
    return took, calls, usage.ru_maxrss / 1000


def admitted(fake):
    for group in fake.control("GET", "state")["nsgs"]:
        rules = [rule["properties"] for rule in group["rules"]]
        yield sorted(prefix for rule in rules for prefix in rule.get("sourceAddressPrefixes", []))


def main():
    tagwall, runs = str(Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    results = {who: [[] for _ in PASSES] for who in ("tagwall", "script")}
    wanted = sorted(prefixes(1)[0] + prefixes(1)[1])
    with Fake(retry_after=0, poll_retry_after=0, polls=0) as fake, tempfile.TemporaryDirectory() as folder:
        os.environ.update(AZURE_TENANT_ID="tenant", AZURE_CLIENT_ID="client", AZURE_CLIENT_SECRET="secret",
                          REQUESTS_CA_BUNDLE=fake.ca)
        Path(folder, "tagwall.toml").write_text(configuration(fake))
        fake.control("POST", "fault", {"times": 2**63, "kind": {"delay": DISTANCE}})
        for run in range(runs):
            for who in results:
                reset(fake)
                for kind, (_, change) in enumerate(PASSES):
                    Path(folder, "feed.json").write_text(document(change))
                    command = [tagwall, "-q", "-c", "tagwall.toml", "--state-dir", f"state-{run}", "sync", "--override",
                               "loss", "--reason", "bench"]
                    if who == "script":
                        command = [sys.executable, __file__, "--plain", fake.url, fake.token, str(change)]
                    results[who][kind].append(measured(fake, command, folder))
                for found in admitted(fake):
                    if found != wanted:
                        raise RuntimeError(f"{who} did another thing")
    count = sum(map(len, prefixes(0)))
    print(f"{GROUPS} network security groups, {count} prefixes each, on the fake, {DISTANCE} ms away; medians of {runs}")
    print(f"{'':26}{'tagwall':>17}{'plain script':>20}{'ratio':>9}")
    for (name, _), ours, theirs in zip(PASSES, results["tagwall"], results["script"]):
        (one, calls, _), (two, their_calls, _) = (map(statistics.median, zip(*of)) for of in (ours, theirs))
        print(f"{name:26}{one:7.2f} s {calls:4.0f} calls{two:8.2f} s {their_calls:4.0f} calls{two / one:7.1f} x")
    peaks = {who: max(memory for kind in kinds for _, _, memory in kind) for who, kinds in results.items()}
    print(f"at their peaks: tagwall {peaks['tagwall']:.1f} MB, the script {peaks['script']:.1f} MB")


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        plain(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
