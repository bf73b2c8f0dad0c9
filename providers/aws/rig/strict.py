"""Security group rules and managed prefix lists as AWS documents them, over moto.

This encodes a reading of AWS's documentation and of issue threads. It is not AWS: nothing here was ever held against
the real service, and what passes here may fail there.

moto 5.2.5 gets wrong what matters to a tool that changes rules in place: authorise is not atomic, IPv4 and IPv6 share
one quota, a prefix list weighs 1, its version is no lock, paging is ignored, prefixes are not made canonical. So rules
and lists are kept here, and moto does the rest: groups, VPCs, STS, who is which account. DescribeSecurityGroups is
moto's and shows no rules of this rig: what exists is asked with DescribeSecurityGroupRules.

Where the sources disagree or are silent, the stricter reading is taken, with a comment that says `not documented`.
"""

import copy
import fnmatch
import ipaddress
import re
import secrets

import moto
from moto.ec2.models import ec2_backends

from query import Refused

MOTO = "5.2.5"
assert moto.__version__ == MOTO, f"the strict layer was written against moto {MOTO}, this is {moto.__version__}"

MOST_RULES_A_CALL = 1000  # not documented: users report it
MOST_ENTRIES_A_CALL = 100
MOST_ENTRIES = 1000
DESCRIPTION = re.compile(r"[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}")


def canonical(text, version):
    """As EC2 stores it: 100.68.0.18/18 becomes 100.68.0.0/18."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "/" not in text or network.version != version:
        raise Refused("InvalidParameterValue", f"CIDR block {text} is malformed")
    return str(network)


def content(rule):
    """What makes two rules of a group the same. The description is no part of it."""
    keys = ("groupId", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6", "prefixListId", "referenced")
    return tuple(rule.get(key) for key in keys)


def tags_of(call, resource):
    for specification in call.get("TagSpecification", []):
        if specification.get("ResourceType") != resource:
            raise Refused("InvalidParameterValue", f"{specification.get('ResourceType')} is not created by this call")
        return {tag["Key"]: tag.get("Value", "") for tag in specification.get("Tag", [])}
    return {}


def among(value, patterns):
    """Whether a filter lets a value through: `*` and `?` stand for any characters and any one."""
    return value is not None and any(fnmatch.fnmatchcase(value, pattern.replace("[", "[[]")) for pattern in patterns)


def tag_set(tags):
    return [{"key": key, "value": value} for key, value in sorted(tags.items())]


def paged(call, items):
    """MaxResults from 5 to 1000; without it everything."""
    if "MaxResults" not in call:
        if "NextToken" in call:
            raise Refused("InvalidParameterCombination", "NextToken without MaxResults")
        return items, None
    size = int(call["MaxResults"])
    if not 5 <= size <= 1000:
        raise Refused("InvalidParameterValue", f"MaxResults of {size} is not between 5 and 1000")
    start = int(call.get("NextToken", "0"))
    following = start + size
    return items[start:following], str(following) if following < len(items) else None


class Region:
    """One account in one region."""

    def __init__(self):
        self.rules = {}  # sgr- -> rule
        self.lists = {}  # pl- -> list
        self.tags = {}  # resource -> {key: value}
        self.tokens = {}  # ClientToken -> pl-


class Strict:
    """The actions that are not left to moto: a method for each, named as EC2 names it."""

    def __init__(self, clock):
        self.clock = clock
        self.reset()

    def reset(self):
        self.regions = {}
        self.history = {}  # (account, region) -> [(when, copy)], oldest first
        self.quota = 60
        self.lag = 0.0  # seconds until a write shows in reads
        self.settle = 0.0  # seconds until a changed prefix list is complete
        self.untagged = False  # the next authorise adds its rules, does not tag them and says Return=false

    def handles(self, action):
        return hasattr(self, f"do_{action}")

    def call(self, action, where, call):
        """Reads see the past where there is a lag; what is refused changes nothing."""
        now = self.regions.setdefault(where, Region())
        self.where = where
        if not writes(action):
            return getattr(self, f"do_{action}")(self.as_read(where), call)
        self.history.setdefault(where, [(float("-inf"), copy.deepcopy(now))])
        scratch = copy.deepcopy(now)
        fields = getattr(self, f"do_{action}")(scratch, call)
        self.regions[where] = scratch
        self.history[where].append((self.clock(), copy.deepcopy(scratch)))
        return fields

    def as_read(self, where):
        horizon = self.clock() - self.lag
        past = [state for when, state in self.history.get(where, []) if when <= horizon]
        return copy.deepcopy(past[-1]) if past and self.lag else self.regions[where]

    def existing_group(self, name):
        account, region = self.where
        group = ec2_backends[account][region].get_security_group_from_id(name)
        if group is None:
            raise Refused("InvalidGroup.NotFound", f"The security group '{name}' does not exist")
        return group

    # Rules

    def weight(self, state, rule, version):
        """What a rule counts for in the quota of one family."""
        if rule["prefixListId"]:
            listed = state.lists.get(rule["prefixListId"])
            same = listed and listed["addressFamily"] == f"IPv{version}"
            return listed["maxEntries"] if same else 0
        if rule["referenced"]:
            return 1
        return int(bool(rule[f"cidrIpv{version}"]))

    def over_quota(self, state, group):
        inbound = [rule for rule in state.rules.values() if rule["groupId"] == group and not rule["isEgress"]]
        return any(sum(self.weight(state, rule, version) for rule in inbound) > self.quota for version in (4, 6))

    def asked_rules(self, state, call):
        group = call.get("GroupId")
        if not group:
            raise Refused("MissingParameter", "this rig takes groups by GroupId alone")
        self.existing_group(group)
        permissions = call.get("IpPermissions", [])
        if not permissions:
            raise Refused("MissingParameter", "Either 'ipPermissions' or 'securityGroupRuleIds' should be provided")
        rules = []
        for permission in permissions:
            protocol = permission.get("IpProtocol", "-1")
            base = {
                "groupId": group,
                "isEgress": False,
                "ipProtocol": {"6": "tcp", "17": "udp"}.get(protocol, protocol),
                "fromPort": int(permission.get("FromPort", -1)) if protocol != "-1" else -1,
                "toPort": int(permission.get("ToPort", -1)) if protocol != "-1" else -1,
                "cidrIpv4": None,
                "cidrIpv6": None,
                "prefixListId": None,
                "referenced": None,
            }
            if base["fromPort"] > base["toPort"]:
                raise Refused("InvalidParameterValue", "Invalid port range")
            sources = [({"cidrIpv4": canonical(it["CidrIp"], 4)}, it) for it in permission.get("IpRanges", [])]
            sources += [({"cidrIpv6": canonical(it["CidrIpv6"], 6)}, it) for it in permission.get("Ipv6Ranges", [])]
            sources += [({"prefixListId": it["PrefixListId"]}, it) for it in permission.get("PrefixListIds", [])]
            sources += [({"referenced": it["GroupId"]}, it) for it in permission.get("Groups", [])]
            for source, item in sources:
                description = item.get("Description")
                if description is not None and not DESCRIPTION.fullmatch(description):
                    raise Refused("InvalidParameterValue", "Invalid rule description")
                listed = source.get("prefixListId")
                if listed and listed not in state.lists:
                    raise Refused("InvalidPrefixListID.NotFound", f"The prefix list ID '{listed}' does not exist")
                rules.append({**base, **source, "description": description})
        if not rules:
            raise Refused("InvalidParameterValue", "The permission names nobody")
        if len(rules) > MOST_RULES_A_CALL:
            raise Refused("InvalidParameterValue", f"more than {MOST_RULES_A_CALL} rules in one call")
        if len({content(rule) for rule in rules}) < len(rules):
            raise Refused("InvalidParameterValue", "The same permission must not appear multiple times")
        return group, rules

    def do_AuthorizeSecurityGroupIngress(self, state, call):
        group, rules = self.asked_rules(state, call)
        tags = tags_of(call, "security-group-rule")
        stored = {content(rule) for rule in state.rules.values() if not rule["isEgress"]}
        if any(content(rule) in stored for rule in rules):
            raise Refused("InvalidPermission.Duplicate", "the specified rule already exists")
        untagged, self.untagged = self.untagged, False
        for rule in rules:
            rule["securityGroupRuleId"] = name = f"sgr-{secrets.token_hex(8)}1"
            state.rules[name] = rule
            if not untagged:
                state.tags[name] = dict(tags)
        if self.over_quota(state, group):
            raise Refused(
                "RulesPerSecurityGroupLimitExceeded",
                "The maximum number of rules per security group has been reached.",
            )
        shown = [self.shown_rule(state, rule) for rule in rules]
        return {"return": not untagged, "securityGroupRuleSet": shown}

    def do_RevokeSecurityGroupIngress(self, state, call):
        self.existing_group(call.get("GroupId", ""))
        named = call.get("SecurityGroupRuleId")
        if not named or "IpPermissions" in call:
            raise Refused("InvalidParameterCombination", "this rig revokes by rule id alone")
        for name in named:
            rule = state.rules.get(name)
            if rule is None or rule["groupId"] != call["GroupId"] or rule["isEgress"]:
                raise Refused("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{name}' does not exist")
        gone = [state.rules.pop(name) for name in dict.fromkeys(named)]
        for rule in gone:
            state.tags.pop(rule["securityGroupRuleId"], None)
        return {"return": True, "revokedSecurityGroupRuleSet": [self.shown_rule(state, rule) for rule in gone]}

    def shown_rule(self, state, rule):
        shown = {
            "securityGroupRuleId": rule["securityGroupRuleId"],
            "groupId": rule["groupId"],
            "groupOwnerId": self.where[0],
        }
        shown |= {key: rule[key] for key in ("isEgress", "ipProtocol", "fromPort", "toPort", "cidrIpv4", "cidrIpv6")}
        shown |= {"prefixListId": rule["prefixListId"], "description": rule["description"]}
        if rule["referenced"]:
            shown["referencedGroupInfo"] = {"groupId": rule["referenced"], "userId": self.where[0]}
        shown["tagSet"] = tag_set(state.tags.get(rule["securityGroupRuleId"], {}))
        return shown

    def do_DescribeSecurityGroupRules(self, state, call):
        named = call.get("SecurityGroupRuleId")
        rules = list(state.rules.values())
        if named:
            missing = [name for name in named if name not in state.rules]
            if missing:
                raise Refused("InvalidSecurityGroupRuleId.NotFound", f"The security group rule ID '{missing[0]}' does not exist")
            if "MaxResults" in call:
                raise Refused("InvalidParameterCombination", "MaxResults with rule ids")
            rules = [state.rules[name] for name in named]
        for given in call.get("Filter", []):
            name, values = given["Name"], given.get("Value", [])
            if name == "group-id":
                rules = [rule for rule in rules if among(rule["groupId"], values)]
            elif name == "security-group-rule-id":
                rules = [rule for rule in rules if rule["securityGroupRuleId"] in values]
            elif name == "tag-key":
                tagged = {it for it, tags in state.tags.items() if any(value in tags for value in values)}
                rules = [rule for rule in rules if rule["securityGroupRuleId"] in tagged]
            elif name.startswith("tag:"):
                tagged = {it for it, tags in state.tags.items() if among(tags.get(name[4:]), values)}
                rules = [rule for rule in rules if rule["securityGroupRuleId"] in tagged]
            else:
                raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
        page, following = paged(call, rules)
        return {"securityGroupRuleSet": [self.shown_rule(state, rule) for rule in page], "nextToken": following}

    # Tags, of what is kept here

    def keeps(self, call):
        return any(name.startswith(("sgr-", "pl-")) for name in call.get("ResourceId", []))

    def do_CreateTags(self, state, call):
        for name in call["ResourceId"]:
            if name not in state.rules and name not in state.lists:
                raise Refused("InvalidID", f"The ID '{name}' is not valid")
            new = {tag["Key"]: tag.get("Value", "") for tag in call.get("Tag", [])}
            state.tags[name] = state.tags.get(name, {}) | new
        return {"return": True}

    def do_DeleteTags(self, state, call):
        for name in call["ResourceId"]:
            if name not in state.rules and name not in state.lists:
                raise Refused("InvalidID", f"The ID '{name}' is not valid")
            for tag in call.get("Tag", []):
                state.tags.get(name, {}).pop(tag["Key"], None)
        return {"return": True}

    # Managed prefix lists

    def existing_list(self, state, call):
        name = call.get("PrefixListId", "")
        if name not in state.lists:
            raise Refused("InvalidPrefixListID.NotFound", f"The prefix list ID '{name}' does not exist")
        return state.lists[name]

    def asked_entries(self, call, key, family):
        items = call.get(key, [])
        version = int(family[-1])
        entries = {}
        for item in items:
            cidr = canonical(item["Cidr"], version)
            if cidr in entries:
                raise Refused("InvalidParameterValue", f"{cidr} appears multiple times")
            entries[cidr] = item.get("Description")
        if len(entries) > MOST_ENTRIES_A_CALL:
            raise Refused("InvalidParameterValue", f"The number of entries per request cannot exceeds limit ({MOST_ENTRIES_A_CALL}).")
        return entries

    def do_CreateManagedPrefixList(self, state, call):
        family = call.get("AddressFamily")
        if family not in ("IPv4", "IPv6"):
            raise Refused("InvalidParameterValue", f"Value ({family}) for parameter AddressFamily is invalid")
        most = int(call.get("MaxEntries", "0"))
        if not 1 <= most <= MOST_ENTRIES:
            raise Refused("InvalidParameterValue", f"MaxEntries of {most} is not between 1 and {MOST_ENTRIES}")
        entries = self.asked_entries(call, "Entry", family)
        if len(entries) > most:
            raise Refused("PrefixListMaxEntriesExceeded", "more entries than MaxEntries")
        # A call that is made again with its token makes nothing new.
        token = call.get("ClientToken")
        if token in state.tokens:
            return {"prefixList": self.shown_list(state, state.lists[state.tokens[token]])}
        name = f"pl-{secrets.token_hex(8)}1"
        if token:
            state.tokens[token] = name
        state.lists[name] = {
            "prefixListId": name,
            "addressFamily": family,
            "prefixListName": call["PrefixListName"],
            "maxEntries": most,
            "version": 1,
            "versions": {1: entries},
            "failed": None,
            "doing": ("create", self.clock() + self.settle),
        }
        state.tags[name] = tags_of(call, "prefix-list")
        return {"prefixList": self.shown_list(state, state.lists[name])}

    def state_of(self, listed):
        doing, until = listed["doing"]
        if self.clock() < until:
            return f"{doing}-in-progress", None
        if listed["failed"]:
            return f"{doing}-failed", listed["failed"]
        return f"{doing}-complete", None

    def shown_list(self, state, listed):
        account, region = self.where
        keys = ("prefixListId", "addressFamily", "prefixListName", "maxEntries", "version")
        shown = {key: listed[key] for key in keys}
        shown["state"], shown["stateMessage"] = self.state_of(listed)
        shown["prefixListArn"] = f"arn:aws:ec2:{region}:{account}:prefix-list/{listed['prefixListId']}"
        return shown | {"ownerId": account, "tagSet": tag_set(state.tags.get(listed["prefixListId"], {}))}

    def do_DescribeManagedPrefixLists(self, state, call):
        lists = list(state.lists.values())
        if "PrefixListId" in call:
            lists = [self.existing_list(state, {"PrefixListId": name}) for name in call["PrefixListId"]]
        for given in call.get("Filter", []):
            name, values = given["Name"], given.get("Value", [])
            if name in ("prefix-list-id", "prefix-list-name"):
                key = {"prefix-list-id": "prefixListId", "prefix-list-name": "prefixListName"}[name]
                lists = [listed for listed in lists if listed[key] in values]
            elif name == "owner-id":
                lists = lists if self.where[0] in values else []
            elif name.startswith("tag:"):
                lists = [it for it in lists if among(state.tags.get(it["prefixListId"], {}).get(name[4:]), values)]
            else:
                raise Refused("InvalidParameterValue", f"The filter '{name}' is invalid")
        page, following = paged_lists(call, lists)
        return {"prefixListSet": [self.shown_list(state, listed) for listed in page], "nextToken": following}

    def do_GetManagedPrefixListEntries(self, state, call):
        listed = self.existing_list(state, call)
        version = int(call.get("TargetVersion", listed["version"]))
        if version not in listed["versions"]:
            raise Refused("InvalidParameterValue", f"there is no version {version}")
        entries = [{"cidr": cidr, "description": text} for cidr, text in listed["versions"][version].items()]
        page, following = paged_lists(call, entries)
        return {"entrySet": page, "nextToken": following}

    def do_GetManagedPrefixListAssociations(self, state, call):
        name = self.existing_list(state, call)["prefixListId"]
        groups = sorted({rule["groupId"] for rule in state.rules.values() if rule["prefixListId"] == name})
        found = [{"resourceId": group, "resourceOwner": self.where[0]} for group in groups]
        page, following = paged_lists(call, found)
        return {"prefixListAssociationSet": page, "nextToken": following}

    def may_change(self, listed):
        state, _ = self.state_of(listed)
        if state.endswith("-in-progress"):
            raise Refused("IncorrectState", f"The prefix list is in the state {state}")

    def lock(self, listed, call):
        if "CurrentVersion" not in call:
            raise Refused("MissingParameter", "CurrentVersion is needed to change entries")
        if int(call["CurrentVersion"]) != listed["version"]:
            raise Refused("PrefixListVersionMismatch", f"the current version is {listed['version']}")

    def do_ModifyManagedPrefixList(self, state, call):
        listed = self.existing_list(state, call)
        self.may_change(listed)
        added = self.asked_entries(call, "AddEntry", listed["addressFamily"])
        removed = self.asked_entries(call, "RemoveEntry", listed["addressFamily"])
        if "MaxEntries" in call:
            if added or removed:
                raise Refused("InvalidParameterCombination", "MaxEntries and entries cannot change in one call")
            return self.resized(state, listed, int(call["MaxEntries"]))
        if added or removed:
            self.lock(listed, call)
            self.change(listed, added, removed)
        if "PrefixListName" in call:
            listed["prefixListName"] = call["PrefixListName"]
        return {"prefixList": self.shown_list(state, listed)}

    def resized(self, state, listed, most):
        held = len(listed["versions"][listed["version"]])
        if not max(1, held) <= most <= MOST_ENTRIES:
            raise Refused("InvalidParameterValue", f"MaxEntries of {most} does not hold {held} entries, or is above {MOST_ENTRIES}")
        before, listed["maxEntries"] = listed["maxEntries"], most
        named = {rule["groupId"] for rule in state.rules.values() if rule["prefixListId"] == listed["prefixListId"]}
        full = sorted(group for group in named if self.over_quota(state, group))
        listed["failed"] = None
        if full:
            listed["maxEntries"] = before
            listed["failed"] = f"The following VPC Security Groups do not have capacity: {', '.join(full[:10])}"
        listed["doing"] = ("modify", self.clock() + self.settle)
        return {"prefixList": self.shown_list(state, listed)}

    def change(self, listed, added, removed):
        entries = dict(listed["versions"][listed["version"]])
        if set(added) & set(removed):
            raise Refused("InvalidParameterValue", "a prefix cannot be added and removed in one call")
        missing = [cidr for cidr in removed if cidr not in entries]
        if missing:
            raise Refused("InvalidParameterValue", f"{missing[0]} is not in the list")
        # Not documented: what comes may be counted before what goes.
        if len(entries.keys() | added.keys()) > listed["maxEntries"]:
            raise Refused("PrefixListMaxEntriesExceeded", "You've reached the maximum number of entries")
        for cidr in removed:
            del entries[cidr]
        # Adding what is there changes its description.
        self.new_version(listed, entries | added)

    def new_version(self, listed, entries):
        listed["version"] += 1
        listed["versions"][listed["version"]] = entries
        while len(listed["versions"]) > 1000:
            del listed["versions"][min(listed["versions"])]
        listed["doing"], listed["failed"] = ("modify", self.clock() + self.settle), None

    def do_RestoreManagedPrefixListVersion(self, state, call):
        listed = self.existing_list(state, call)
        self.may_change(listed)
        self.lock(listed, call)
        previous = int(call["PreviousVersion"])
        if previous not in listed["versions"]:
            raise Refused("InvalidParameterValue", f"there is no version {previous}")
        if len(listed["versions"][previous]) > listed["maxEntries"]:
            raise Refused("PrefixListMaxEntriesExceeded", "that version has more entries than MaxEntries")
        self.new_version(listed, dict(listed["versions"][previous]))
        listed["doing"] = ("restore", listed["doing"][1])
        return {"prefixList": self.shown_list(state, listed)}

    def do_DeleteManagedPrefixList(self, state, call):
        listed = self.existing_list(state, call)
        if any(rule["prefixListId"] == listed["prefixListId"] for rule in state.rules.values()):
            raise Refused("IncorrectState", "The prefix list is in use")
        del state.lists[listed["prefixListId"]]
        return {"prefixList": {**self.shown_list(state, listed), "state": "delete-complete"}}


def paged_lists(call, items):
    """Prefix lists take pages of 1 to 100."""
    size = int(call.get("MaxResults", "100"))
    if not 1 <= size <= 100:
        raise Refused("InvalidParameterValue", f"MaxResults of {size} is not between 1 and 100")
    start = int(call.get("NextToken", "0"))
    following = start + size
    return items[start:following], str(following) if following < len(items) else None


def writes(action):
    return not action.startswith(("Describe", "Get", "List", "AssumeRole"))
