"""tagwall beside a plain script with boto3 that does the same work, on the rig: 50 groups of 10 regions.

    python bench.py TAGWALL

Prints wall time, calls and peak memory of each, of three passes: from nothing, with nothing to do, and with a change.
Each call is under way for 50 ms, as from afar; the rig does one at a time, so nothing here says how fast AWS is.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config

REGIONS = [
    "eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1",
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1",
]
GROUPS = 5
MARK = "plain-script"


class Rig:
    def __init__(self):
        here = Path(__file__).parent
        self.process = subprocess.Popen(
            [sys.executable, "server.py", "--while-stdin"],
            cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.address = self.process.stdout.readline().strip().removeprefix("listening on ")

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.address}/_rig/{path}", data) as answer:
            return json.load(answer)

    def calls(self):
        return len(self.control("log"))


def prefixes(change):
    """40 IPv4 and 8 IPv6 prefixes of documentation space; with a change two have gone and two have come."""
    v4 = [f"{net}.{index * 16}/29" for net in ("192.0.2", "198.51.100", "203.0.113") for index in range(16)]
    v6 = [f"2001:db8:{index:x}::/48" for index in range(2, 34, 2)]
    return v4[2 * change : 40 + 2 * change] + v6[change : 8 + change]


def document(change):
    properties = {
        "changeNumber": 10 + change, "region": "", "regionId": 0, "platform": "Azure", "systemService": "AzureAD",
        "addressPrefixes": prefixes(change), "networkFeatures": ["API"],
    }
    tag = {"name": "AzureActiveDirectory", "id": "AzureActiveDirectory", "properties": properties}
    return json.dumps({"changeNumber": 10 + change, "cloud": "Public", "values": [tag]})


def clients(rig):
    # As many tries as tagwall has.
    config = Config(retries={"mode": "standard", "total_max_attempts": 8})
    return {region: boto3.client("ec2", region_name=region, endpoint_url=rig.address, config=config) for region in REGIONS}


def make_groups(rig):
    made = []
    for region, ec2 in clients(rig).items():
        for number in range(GROUPS):
            name = f"group-{number}"
            made.append((region, ec2.create_security_group(GroupName=name, Description=name)["GroupId"]))
    return made


def plain(rig, groups, change):
    """What people write: one group after the other, read, compare, authorise, revoke."""
    ec2s = clients(rig)
    wanted = set(prefixes(change))
    for region, group in groups:
        ec2 = ec2s[region]
        pages = ec2.get_paginator("describe_security_group_rules").paginate(
            Filters=[{"Name": "group-id", "Values": [group]}]
        )
        there = {}
        for page in pages:
            for rule in page["SecurityGroupRules"]:
                if not rule["IsEgress"] and rule.get("Description") == MARK:
                    there[rule.get("CidrIpv4") or rule.get("CidrIpv6")] = rule["SecurityGroupRuleId"]
        comes = sorted(wanted - there.keys())
        if comes:
            permission = {"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443}
            v4 = [{"CidrIp": prefix, "Description": MARK} for prefix in comes if ":" not in prefix]
            v6 = [{"CidrIpv6": prefix, "Description": MARK} for prefix in comes if ":" in prefix]
            if v4:
                permission["IpRanges"] = v4
            if v6:
                permission["Ipv6Ranges"] = v6
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
        goes = [rule for prefix, rule in there.items() if prefix not in wanted]
        if goes:
            ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=goes)


def configuration(groups):
    lines = [
        'owner = "bench"', "[source]", 'kind = "file"', 'path = "feed.json"', "[limits]", 'special = ["documentation"]',
        "[lists.entra]", 'tags = ["AzureActiveDirectory"]',
    ]
    for number, (region, group) in enumerate(groups):
        lines += [
            f"[targets.t{number}]", 'lists = ["entra"]',
            f'aws-security-groups = {{ region = "{region}", groups = ["{group}"] }}',
        ]
    return "\n".join(lines) + "\n"


def timed(rig, work):
    before, began = rig.calls(), time.monotonic()
    work()
    return time.monotonic() - began, rig.calls() - before


def admitted(rig):
    found = {}
    for region in rig.control("state"):
        for rule in region["rules"]:
            if not rule.get("isEgress"):
                found.setdefault(rule["groupId"], set()).add(rule.get("cidrIpv4") or rule.get("cidrIpv6"))
    return found


def main():
    tagwall = str(Path(sys.argv[1]).resolve())
    rig = Rig()
    os.environ.update(
        AWS_ACCESS_KEY_ID="AKIAEXAMPLE", AWS_SECRET_ACCESS_KEY="x", AWS_ENDPOINT_URL=rig.address,
        AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null",
    )
    kinds = [("from nothing", 0), ("nothing to do", 0), ("two of each go and come", 1)]
    results = {"tagwall": [], "script": []}
    with tempfile.TemporaryDirectory() as folder:
        groups = make_groups(rig)
        rig.control("settings", {"distance": 0.05})
        Path(folder, "tagwall.toml").write_text(configuration(groups))
        for _, change in kinds:
            Path(folder, "feed.json").write_text(document(change))
            command = [tagwall, "-q", "-c", "tagwall.toml", "--state-dir", "state", "sync", "--override", "loss",
                       "--reason", "bench"]
            results["tagwall"].append(timed(rig, lambda: subprocess.run(command, cwd=folder, check=True)))
        assert all(found == set(prefixes(1)) for found in admitted(rig).values()), "tagwall did another thing"
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        rig.control("reset", {})
        groups = make_groups(rig)
        rig.control("settings", {"distance": 0.05})
        for _, change in kinds:
            script = [sys.executable, __file__, "--plain", rig.address, json.dumps(groups), str(change)]
            results["script"].append(timed(rig, lambda: subprocess.run(script, check=True)))
        assert all(found == set(prefixes(1)) for found in admitted(rig).values()), "the script did another thing"
    print(f"{len(groups)} groups of {len(REGIONS)} regions, {len(prefixes(0))} prefixes each, on the rig")
    print(f"{'':26}{'tagwall':>16}{'plain script':>18}{'ratio':>9}")
    for (name, _), ours, theirs in zip(kinds, results["tagwall"], results["script"]):
        print(f"{name:26}{ours[0]:7.2f} s {ours[1]:4d} calls{theirs[0]:7.2f} s {theirs[1]:4d} calls{theirs[0] / ours[0]:6.1f} x")
    print(f"tagwall: {memory / 1000:.1f} MB at its peak")


class At:
    def __init__(self, address):
        self.address = address


if __name__ == "__main__":
    if sys.argv[1] == "--plain":
        plain(At(sys.argv[2]), json.loads(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
