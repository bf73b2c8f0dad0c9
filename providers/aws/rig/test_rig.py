"""The rig's own tests: what it claims of AWS, and that it would notice. Run by `./dev test aws_rig`."""

import io
import json
import os
import threading
import unittest
import urllib.error
import urllib.request

os.environ.update(AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError

import server as rig_server

TAGGED = [{"ResourceType": "security-group-rule", "Tags": [{"Key": "tagwall", "Value": "tagwall:edge/web"}]}]
LOST = (ConnectionClosedError, EndpointConnectionError, ReadTimeoutError)


def permission(*cidrs, port=8443):
    """What boto3 takes for these prefixes."""
    four = [{"CidrIp": cidr, "Description": "tagwall:edge/web"} for cidr in cidrs if ":" not in cidr]
    six = [{"CidrIpv6": cidr, "Description": "tagwall:edge/web"} for cidr in cidrs if ":" in cidr]
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": four, "Ipv6Ranges": six}]


def hosts(count, start=0):
    return [f"10.0.{host // 128}.{host % 128 * 2}/32" for host in range(start, start + count)]


class RigTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.clients, cls.session = {}, boto3.Session()
        cls.written = io.StringIO()
        cls.server = rig_server.serve(log=cls.written)
        cls.address = f"http://127.0.0.1:{cls.server.server_address[1]}"
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        self.control("reset", {})
        self.ec2 = self.client("ec2")
        self.group = self.ec2.create_security_group(GroupName="web", Description="web")["GroupId"]

    def client(self, service, region="eu-west-1", key="AKIAEXAMPLE", secret="very-secret", token=None, timeout=20):
        # Making one takes longer than most tests.
        wanted = (service, region, key, token, timeout)
        if wanted not in self.clients:
            config = Config(retries={"total_max_attempts": 1}, read_timeout=timeout, connect_timeout=5)
            keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}
            made = self.session.client(service, region, endpoint_url=self.address, config=config, **keys)
            self.clients[wanted] = made
        return self.clients[wanted]

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.address}/_rig/{path}", data) as answer:
            return json.load(answer)

    def authorise(self, *cidrs, ec2=None, group=None, **more):
        more.setdefault("IpPermissions", permission(*cidrs))
        more.setdefault("TagSpecifications", TAGGED)
        return (ec2 or self.ec2).authorize_security_group_ingress(GroupId=group or self.group, **more)

    def rules(self, ec2=None, **more):
        more.setdefault("Filters", [{"Name": "group-id", "Values": [self.group]}])
        pages = (ec2 or self.ec2).get_paginator("describe_security_group_rules").paginate(**more)
        return [rule for page in pages for rule in page["SecurityGroupRules"]]

    def cidrs(self, **more):
        return sorted(rule.get("CidrIpv4") or rule.get("CidrIpv6") for rule in self.rules(**more))

    def refused(self, code, call, *arguments, **named):
        with self.assertRaises(ClientError) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.response["Error"]["Code"], code, caught.exception)
        return caught.exception.response["ResponseMetadata"]["HTTPStatusCode"]


class Rules(RigTest):
    def test_what_is_authorised_is_listed_with_its_tags_and_description(self):
        answered = self.authorise("192.0.2.0/24", "2001:db8::/32")
        self.assertTrue(answered["Return"])
        self.assertEqual(len(answered["SecurityGroupRules"]), 2)
        listed = self.rules()
        self.assertEqual({rule["Description"] for rule in listed}, {"tagwall:edge/web"})
        self.assertEqual(listed[0]["Tags"], [{"Key": "tagwall", "Value": "tagwall:edge/web"}])
        self.assertEqual({rule["SecurityGroupRuleId"] for rule in listed}, {it["SecurityGroupRuleId"] for it in answered["SecurityGroupRules"]})
        self.assertEqual((listed[0]["FromPort"], listed[0]["IpProtocol"], listed[0]["IsEgress"]), (8443, "tcp", False))

    def test_authorise_is_all_or_nothing(self):
        self.authorise("192.0.2.0/24")
        self.refused("InvalidPermission.Duplicate", self.authorise, "198.51.100.0/24", "192.0.2.0/24")
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])

    def test_equal_rules_are_equal_however_they_are_written(self):
        self.authorise("192.0.2.77/24")
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])
        self.refused("InvalidPermission.Duplicate", self.authorise, "192.0.2.1/24")
        self.refused("InvalidParameterValue", self.authorise, "198.51.100.1/24", "198.51.100.2/24")
        # The negative control: another port is another rule.
        self.authorise(IpPermissions=permission("192.0.2.0/24", port=443))

    def test_the_quota_is_of_each_family(self):
        self.authorise(*hosts(60))
        self.authorise(*[f"2001:db8::{host:x}/128" for host in range(60)])
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorise, *hosts(1, start=60))
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorise, "2001:db8::ff/128")
        self.assertEqual(len(self.rules()), 120)
        self.control("settings", {"quota": 61})
        self.authorise(*hosts(1, start=60))

    def test_a_group_counts_in_both_families_and_a_list_as_its_max_entries(self):
        listed = self.ec2.create_managed_prefix_list(PrefixListName="l", MaxEntries=58, AddressFamily="IPv4")["PrefixList"]
        self.authorise(IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "PrefixListIds": [{"PrefixListId": listed["PrefixListId"]}]}])
        self.authorise(IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "UserIdGroupPairs": [{"GroupId": self.group}]}])
        self.authorise("192.0.2.0/24", *[f"2001:db8::{host:x}/128" for host in range(59)])
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorise, "198.51.100.0/24")
        self.refused("RulesPerSecurityGroupLimitExceeded", self.authorise, "2001:db8::ff/128")

    def test_a_revoke_names_rules_and_is_all_or_nothing(self):
        ids = [rule["SecurityGroupRuleId"] for rule in self.authorise(*hosts(3))["SecurityGroupRules"]]
        revoke = self.ec2.revoke_security_group_ingress
        code = "InvalidSecurityGroupRuleId.NotFound"
        self.refused(code, revoke, GroupId=self.group, SecurityGroupRuleIds=[ids[0], "sgr-0123456789abcdef0"])
        self.assertEqual(len(self.rules()), 3)
        self.assertTrue(revoke(GroupId=self.group, SecurityGroupRuleIds=ids[:2])["Return"])
        self.assertEqual(self.cidrs(), ["10.0.0.4/32"])
        self.refused(code, revoke, GroupId=self.group, SecurityGroupRuleIds=ids[:1])

    def test_pages_hold_what_was_asked_for_and_together_everything(self):
        self.authorise(*hosts(23))
        pages = list(self.ec2.get_paginator("describe_security_group_rules").paginate(PaginationConfig={"PageSize": 5}))
        self.assertEqual([len(page["SecurityGroupRules"]) for page in pages], [5, 5, 5, 5, 3])
        self.assertEqual(len({rule["SecurityGroupRuleId"] for page in pages for rule in page["SecurityGroupRules"]}), 23)
        self.refused("InvalidParameterValue", self.ec2.describe_security_group_rules, MaxResults=1001)

    def test_filters(self):
        self.authorise("192.0.2.0/24")
        self.authorise("198.51.100.0/24", TagSpecifications=[])
        by_tag = [{"Name": "tag:tagwall", "Values": ["tagwall:edge/web"]}]
        self.assertEqual(self.cidrs(Filters=by_tag), ["192.0.2.0/24"])
        for pattern, found in [("tagwall:edge/*", 1), ("tagwall:e?ge/web", 1), ("tagwall:core/*", 0), ("tagwall:edge", 0)]:
            self.assertEqual(len(self.cidrs(Filters=[{"Name": "tag:tagwall", "Values": [pattern]}])), found, pattern)
        self.assertEqual(self.cidrs(Filters=[{"Name": "group-id", "Values": ["sg-0"]}]), [])
        self.refused("InvalidParameterValue", self.rules, Filters=[{"Name": "colour", "Values": ["red"]}])

    def test_bad_requests(self):
        self.refused("InvalidGroup.NotFound", self.authorise, "192.0.2.0/24", group="sg-0123456789abcdef0")
        self.refused("InvalidParameterValue", self.authorise, "192.0.2.0/33")
        self.refused("InvalidParameterValue", self.authorise, *hosts(1001))
        wrong = permission("192.0.2.0/24")
        wrong[0]["IpRanges"][0]["Description"] = "50 %"
        self.refused("InvalidParameterValue", self.authorise, IpPermissions=wrong)
        self.assertEqual(self.rules(), [])

    def test_a_dry_run_changes_nothing(self):
        self.assertEqual(self.refused("DryRunOperation", self.authorise, "192.0.2.0/24", DryRun=True), 412)
        self.refused("DryRunOperation", self.ec2.create_managed_prefix_list, PrefixListName="l", MaxEntries=1, AddressFamily="IPv4", DryRun=True)
        self.assertEqual(self.control("state"), [])
        self.assertFalse([entry for entry in self.control("log")[1:] if entry["writes"]])

    def test_rules_that_were_added_untagged_are_told_by_return_and_can_be_tagged(self):
        self.control("settings", {"untagged": True})
        answered = self.authorise("192.0.2.0/24")
        self.assertFalse(answered["Return"])
        rule = self.rules()[0]
        self.assertFalse(rule.get("Tags"))
        self.ec2.create_tags(Resources=[rule["SecurityGroupRuleId"]], Tags=TAGGED[0]["Tags"])
        self.assertEqual(self.rules()[0]["Tags"], TAGGED[0]["Tags"])
        self.ec2.delete_tags(Resources=[rule["SecurityGroupRuleId"]], Tags=[{"Key": "tagwall"}])
        self.assertFalse(self.rules()[0].get("Tags"))

    def test_accounts_and_regions_are_apart(self):
        role = {"RoleArn": "arn:aws:iam::210987654321:role/tagwall", "RoleSessionName": "tagwall"}
        keys = self.client("sts").assume_role(**role)["Credentials"]
        arguments = (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        self.authorise("192.0.2.0/24")
        for region, key in [("us-east-1", ("AKIAEXAMPLE", "very-secret", None)), ("eu-west-1", arguments), ("us-east-1", arguments)]:
            other = self.client("ec2", region, *key)
            group = other.create_security_group(GroupName="web", Description="web")["GroupId"]
            self.refused("InvalidGroup.NotFound", self.authorise, "192.0.2.0/24", ec2=other)
            self.authorise("198.51.100.0/24", ec2=other, group=group)
        places = {(state["account"], state["region"]) for state in self.control("state") if state["rules"]}
        self.assertEqual(len(places), 4)
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])


class PrefixLists(RigTest):
    def create(self, most=200, entries=(), family="IPv4"):
        entries = [{"Cidr": cidr, "Description": "tagwall:edge/web"} for cidr in entries]
        created = self.ec2.create_managed_prefix_list(PrefixListName="entra", MaxEntries=most, AddressFamily=family, Entries=entries)
        return created["PrefixList"]["PrefixListId"]

    def modify(self, name, version=None, add=(), remove=(), **more):
        if version:
            more["CurrentVersion"] = version
        if add:
            more["AddEntries"] = [{"Cidr": cidr} for cidr in add]
        if remove:
            more["RemoveEntries"] = [{"Cidr": cidr} for cidr in remove]
        return self.ec2.modify_managed_prefix_list(PrefixListId=name, **more)["PrefixList"]

    def entries(self, name, **more):
        pages = self.ec2.get_paginator("get_managed_prefix_list_entries").paginate(PrefixListId=name, **more)
        return sorted(entry["Cidr"] for page in pages for entry in page["Entries"])

    def described(self, name):
        return self.ec2.describe_managed_prefix_lists(PrefixListIds=[name])["PrefixLists"][0]

    def test_the_version_is_a_lock(self):
        name = self.create(entries=["192.0.2.0/24"])
        self.assertEqual(self.modify(name, 1, add=["198.51.100.0/24"])["Version"], 2)
        self.refused("PrefixListVersionMismatch", self.modify, name, 1, add=["203.0.113.0/24"])
        self.refused("MissingParameter", self.modify, name, add=["203.0.113.0/24"])
        self.assertEqual(self.entries(name), ["192.0.2.0/24", "198.51.100.0/24"])

    def test_a_hundred_entries_a_call_and_pages_of_them(self):
        name = self.create()
        self.modify(name, 1, add=hosts(100))
        self.refused("InvalidParameterValue", self.modify, name, 2, add=hosts(101, start=100))
        self.modify(name, 2, add=hosts(100, start=100))
        self.assertEqual(len(self.entries(name)), 200)
        self.refused("InvalidParameterValue", self.create, entries=hosts(101))

    def test_a_token_makes_one_list(self):
        wanted = {"PrefixListName": "l", "MaxEntries": 1, "AddressFamily": "IPv4"}
        ids = [self.ec2.create_managed_prefix_list(ClientToken=token, **wanted)["PrefixList"]["PrefixListId"] for token in "aab"]
        self.assertEqual((ids[0] == ids[1], ids[0] == ids[2]), (True, False))

    def test_max_entries_bounds_and_is_changed_alone(self):
        name = self.create(most=2, entries=hosts(2))
        self.refused("PrefixListMaxEntriesExceeded", self.modify, name, 1, add=hosts(1, start=5))
        self.refused("InvalidParameterCombination", self.modify, name, 1, add=hosts(1, start=5), MaxEntries=3)
        self.refused("InvalidParameterValue", self.modify, name, MaxEntries=1)
        self.assertEqual(self.modify(name, MaxEntries=3)["MaxEntries"], 3)
        self.modify(name, 1, add=hosts(1, start=5))
        self.refused("InvalidParameterValue", self.create, most=1001)

    def test_a_resize_fails_where_a_group_has_no_quota_for_it(self):
        name = self.create(most=50)
        self.authorise(IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, "PrefixListIds": [{"PrefixListId": name}]}])
        self.modify(name, MaxEntries=61)
        described = self.described(name)
        self.assertEqual((described["State"], described["MaxEntries"]), ("modify-failed", 50))
        self.assertIn(self.group, described["StateMessage"])
        associated = self.ec2.get_managed_prefix_list_associations(PrefixListId=name)["PrefixListAssociations"]
        self.assertEqual([it["ResourceId"] for it in associated], [self.group])
        self.modify(name, MaxEntries=60)
        self.assertEqual(self.described(name)["State"], "modify-complete")
        self.refused("IncorrectState", self.ec2.delete_managed_prefix_list, PrefixListId=name)

    def test_one_family_no_doubles_and_nothing_both_ways(self):
        name = self.create(entries=["192.0.2.0/24"])
        self.refused("InvalidParameterValue", self.modify, name, 1, add=["2001:db8::/32"])
        self.refused("InvalidParameterValue", self.modify, name, 1, add=["198.51.100.1/24", "198.51.100.2/24"])
        self.refused("InvalidParameterValue", self.modify, name, 1, add=["192.0.2.0/24"], remove=["192.0.2.0/24"])
        self.refused("InvalidParameterValue", self.modify, name, 1, remove=["203.0.113.0/24"])
        self.assertEqual(self.described(name)["Version"], 1)

    def test_a_version_is_restored_as_a_new_one(self):
        name = self.create(entries=["192.0.2.0/24"])
        self.modify(name, 1, add=["198.51.100.0/24"], remove=["192.0.2.0/24"])
        restored = self.ec2.restore_managed_prefix_list_version(PrefixListId=name, PreviousVersion=1, CurrentVersion=2)
        self.assertEqual(restored["PrefixList"]["Version"], 3)
        self.assertEqual(self.entries(name), ["192.0.2.0/24"])
        self.assertEqual(self.entries(name, TargetVersion=2), ["198.51.100.0/24"])

    def test_a_change_takes_its_time(self):
        name = self.create()
        self.control("settings", {"settle": 30})
        self.modify(name, 1, add=hosts(1))
        self.assertEqual(self.described(name)["State"], "modify-in-progress")
        self.refused("IncorrectState", self.modify, name, 2, add=hosts(1, start=1))
        self.control("advance", {"seconds": 31})
        self.assertEqual(self.described(name)["State"], "modify-complete")
        self.modify(name, 2, add=hosts(1, start=1))


class Faults(RigTest):
    def fault(self, kind, **more):
        self.control("faults", {"kind": kind, **more})

    def test_the_nth_call_of_an_action_fails_and_no_other(self):
        codes = {
            "throttle": ("RequestLimitExceeded", 503),
            "internal": ("InternalError", 500),
            "denied": ("UnauthorizedOperation", 403),
            "expired": ("RequestExpired", 400),
            "duplicate": ("InvalidPermission.Duplicate", 400),
            "not-found": ("InvalidSecurityGroupRuleId.NotFound", 400),
            "quota": ("RulesPerSecurityGroupLimitExceeded", 400),
            "version": ("PrefixListVersionMismatch", 400),
            "state": ("IncorrectState", 400),
        }
        self.assertEqual(codes, rig_server.ANSWERS)
        for number, (kind, (code, status)) in enumerate(codes.items()):
            self.fault(kind, action="AuthorizeSecurityGroupIngress", nth=2)
            first, second, third = (hosts(1, start=3 * number + it) for it in range(3))
            self.authorise(*first)
            self.rules()
            self.assertEqual(self.refused(code, self.authorise, *second), status)
            self.authorise(*third)
            self.assertEqual([cidr in self.cidrs() for cidr in (*first, *second, *third)], [True, False, True])
        self.assertEqual(self.control("faults"), [])

    def test_a_fault_afterwards_loses_only_the_answer(self):
        self.fault("internal", action="writing", after=True)
        self.refused("InternalError", self.authorise, "192.0.2.0/24")
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])

    def test_a_cut_connection_and_silence(self):
        impatient = self.client("ec2", timeout=1)
        for kind in ("cut", "timeout"):
            for after in (False, True):
                cidr = hosts(1, start=10 * len(kind) + after)[0]
                self.fault(kind, action="AuthorizeSecurityGroupIngress", after=after)
                with self.assertRaises(LOST):
                    self.authorise(cidr, ec2=impatient)
                self.assertEqual(cidr in self.cidrs(), after, (kind, after))

    def test_several_in_a_row(self):
        self.fault("throttle", times=3)
        for _ in range(3):
            self.refused("RequestLimitExceeded", self.rules)
        self.rules()

    def test_what_is_not_allowed_is_denied_even_as_a_dry_run(self):
        self.control("settings", {"allow": ["ec2:DescribeSecurityGroupRules"]})
        self.rules()
        for dry in (False, True):
            self.assertEqual(self.refused("UnauthorizedOperation", self.authorise, "192.0.2.0/24", DryRun=dry), 403)

    def test_reads_lag_behind_writes(self):
        self.authorise("192.0.2.0/24")
        self.control("advance", {"seconds": 200})
        self.control("settings", {"lag": 120})
        self.authorise("198.51.100.0/24")
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])
        # Writes see what is: the second time it is a duplicate, though no read shows it.
        self.refused("InvalidPermission.Duplicate", self.authorise, "198.51.100.0/24")
        self.assertEqual(len(self.control("state")[0]["rules"]), 2)
        self.control("advance", {"seconds": 100})
        self.assertEqual(self.cidrs(), ["192.0.2.0/24"])
        self.control("advance", {"seconds": 21})
        self.assertEqual(self.cidrs(), ["192.0.2.0/24", "198.51.100.0/24"])

    def test_unknown_faults_and_settings_are_errors(self):
        for path, body in [("faults", {"kind": "earthquake"}), ("faults", {"knd": "cut"}), ("settings", {"quotas": 1}), ("nothing", {})]:
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.control(path, body)
            caught.exception.close()


class Log(RigTest):
    def test_the_log_tells_the_order_and_the_effect(self):
        added = self.authorise("192.0.2.0/24")["SecurityGroupRules"][0]["SecurityGroupRuleId"]
        self.rules()
        self.control("faults", {"kind": "throttle", "action": "RevokeSecurityGroupIngress"})
        revoke = self.ec2.revoke_security_group_ingress
        self.refused("RequestLimitExceeded", revoke, GroupId=self.group, SecurityGroupRuleIds=[added])
        revoke(GroupId=self.group, SecurityGroupRuleIds=[added])
        log = self.control("log")[1:]
        told = [(entry["action"], entry["writes"], entry["made"], len(entry["added"]), len(entry["removed"])) for entry in log]
        self.assertEqual(
            told,
            [
                ("AuthorizeSecurityGroupIngress", True, True, 1, 0),
                ("DescribeSecurityGroupRules", False, True, 0, 0),
                ("RevokeSecurityGroupIngress", True, False, 0, 0),
                ("RevokeSecurityGroupIngress", True, True, 0, 1),
            ],
        )
        self.assertEqual(log[0]["added"][0]["cidrIpv4"], "192.0.2.0/24")
        self.assertEqual((log[2]["fault"], log[2]["code"], log[2]["status"]), ("throttle", "RequestLimitExceeded", 503))
        lines = [json.loads(line) for line in self.written.getvalue().splitlines()]
        self.assertEqual(lines[-4:], log)

    def test_no_secret_is_logged(self):
        role = {"RoleArn": "arn:aws:iam::210987654321:role/tagwall", "RoleSessionName": "tagwall", "ExternalId": "external-secret"}
        keys = self.client("sts").assume_role(**role)["Credentials"]
        arguments = {"WebIdentityToken": "web-identity-secret", "RoleArn": role["RoleArn"], "RoleSessionName": "tagwall"}
        self.client("sts").assume_role_with_web_identity(**arguments)
        self.rules(ec2=self.client("ec2", "eu-west-1", keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))
        log = self.written.getvalue() + json.dumps(self.control("log"))
        # The negative control: what is no secret is there.
        self.assertIn("RoleSessionName", log)
        for secret in ("very-secret", "external-secret", "web-identity-secret", keys["SessionToken"], keys["SecretAccessKey"], "Signature"):
            self.assertNotIn(secret, log)

    def test_only_loopback_is_listened_on(self):
        self.assertEqual(self.server.server_address[0], "127.0.0.1")


if __name__ == "__main__":
    unittest.main()
