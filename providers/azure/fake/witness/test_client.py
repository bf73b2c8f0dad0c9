"""Microsoft's own Python client against the fake, over TLS, with tokens that it fetches from the fake."""

import logging
import os
import time
import unittest
import urllib.parse

from azure.core.credentials import AccessToken
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError, ServiceRequestError
from azure.mgmt.network import NetworkManagementClient

from fake import Fake

SUBSCRIPTION, GROUP, NSG = "00000000-0000-0000-0000-000000000001", "net", "hub"
# This client's default, the newest that is answered, and the one whose description is at hand.
VERSION = "2026-03-01"


class Credential:
    """A client's secret for a token, as azure-identity would fetch it."""

    def __init__(self, fake):
        self.fake = fake
        self.fetched = 0

    def get_token(self, *scopes, **_):
        self.fetched += 1
        form = urllib.parse.urlencode({"grant_type": "client_credentials", "client_id": "me", "client_secret": "secret",
                                       "scope": " ".join(scopes)}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = self.fake.call("POST", "/tenant/oauth2/v2.0/token", form, headers).body
        return AccessToken(body["access_token"], int(time.time()) + body["expires_in"])


def rule(priority=200, **changes):
    return {"properties": {
        "protocol": "Tcp", "access": "Allow", "direction": "Inbound", "priority": priority, "sourcePortRange": "*",
        "destinationPortRange": "8443", "sourceAddressPrefixes": ["192.0.2.0/25", "198.51.100.0/24"],
        "destinationAddressPrefix": "*", **changes}}


class Client(unittest.TestCase):
    def setUp(self):
        # Retries of this client are loud.
        logging.getLogger("azure").setLevel(logging.CRITICAL)
        self.fake = Fake(poll_retry_after=0, retry_after=0)
        self.addCleanup(self.fake.__exit__)
        nsg = {"subscription": SUBSCRIPTION, "resource_group": GROUP, "name": NSG}
        self.nsg = nsg
        self.fake.control("PUT", "state", {"nsgs": [nsg]})
        # Requests takes the authority from the environment where the transport is the client's own.
        os.environ["REQUESTS_CA_BUNDLE"] = self.fake.ca
        self.addCleanup(os.environ.pop, "REQUESTS_CA_BUNDLE")
        self.credential = Credential(self.fake)
        self.client = NetworkManagementClient(self.credential, SUBSCRIPTION, base_url=self.fake.url,
                                              credential_scopes=["https://management.azure.com/.default"],
                                              polling_interval=0, retry_backoff_factor=0)
        self.addCleanup(self.client.close)
        self.rules = self.client.security_rules
        self.groups = self.client.network_security_groups

    def put(self, name, body):
        return self.rules.begin_create_or_update(GROUP, NSG, name, body).result()

    def log(self):
        return self.fake.control("GET", "exchanges")

    def test_rules_are_made_listed_changed_and_removed(self):
        made = self.put("ours", rule())
        self.assertEqual((made.name, made.provisioning_state, made.priority), ("ours", "Succeeded", 200))
        self.assertEqual([one.name for one in self.rules.list(GROUP, NSG)], ["ours"])
        changed = self.put("ours", rule(201, sourceAddressPrefixes=["203.0.113.0/24"]))
        self.assertEqual((changed.priority, changed.source_address_prefixes), (201, ["203.0.113.0/24"]))
        self.assertNotEqual(changed.etag, made.etag)
        self.rules.begin_delete(GROUP, NSG, "ours").result()
        with self.assertRaises(ResourceNotFoundError):
            self.rules.get(GROUP, NSG, "ours")
        self.assertEqual(list(self.rules.list(GROUP, NSG)), [])
        # The client read ARM's addresses of operations as ARM's.
        polls = [one for one in self.log() if "/operations/" in one["path"]]
        self.assertGreaterEqual(len(polls), 3)
        self.assertTrue(all(one["status"] == 200 and f"api-version={VERSION}" in one["query"] for one in polls))
        self.assertEqual(self.credential.fetched, 1)

    def test_a_long_operation_is_polled(self):
        self.fake.control("PUT", "behaviour", {"polls": 3})
        self.assertEqual(self.put("ours", rule()).provisioning_state, "Succeeded")
        polls = [one["response_body"]["status"] for one in self.log() if "/operations/" in one["path"]]
        self.assertEqual(polls, ["InProgress"] * 3 + ["Succeeded"])

    def test_a_failed_operation_is_told(self):
        kind = {"fail-operation": {"code": "NetcfgInternalError", "message": "no", "applied": False}}
        self.fake.control("POST", "fault", {"method": "PUT", "kind": kind})
        with self.assertRaises(HttpResponseError) as raised:
            self.put("ours", rule())
        self.assertEqual(raised.exception.error.code, "NetcfgInternalError")

    def test_refusals_are_errors_with_codes(self):
        self.put("ours", rule())
        for body, code in [
            (rule(99), "SecurityRuleInvalidPriority"),
            (rule(200), "SecurityRuleConflict"),
            (rule(201, sourceAddressPrefixes=["Internet", "192.0.2.0/24"]), "SecurityRuleParameterContainsUnsupportedValue"),
        ]:
            with self.assertRaises(HttpResponseError) as raised:
                self.put("two", body)
            self.assertEqual((raised.exception.status_code, raised.exception.error.code), (400, code))

    def test_429_is_tried_again(self):
        kind = {"status": {"status": 429, "code": "TooManyRequests", "message": "later", "retry_after": 1}}
        self.fake.control("POST", "fault", {"method": "PUT", "times": 2, "kind": kind})
        began = time.monotonic()
        self.assertEqual(self.put("ours", rule()).provisioning_state, "Succeeded")
        # It read Retry-After.
        self.assertGreaterEqual(time.monotonic() - began, 2)
        self.assertEqual([one["status"] for one in self.log() if one["method"] == "PUT"], [429, 429, 201])

    def test_409_is_an_error(self):
        self.fake.control("POST", "edit", {"busy": {"nsg": self.nsg, "polls": 1}})
        with self.assertRaises(HttpResponseError) as raised:
            self.put("ours", rule())
        self.assertEqual((raised.exception.status_code, raised.exception.error.code), (409, "AnotherOperationInProgress"))

    def test_an_old_etag_is_an_error(self):
        group = self.groups.get(GROUP, NSG)
        wanted = {"location": group.location, "tags": {"a": "b"}}
        replaced = self.groups.begin_create_or_update(GROUP, NSG, wanted, headers={"If-Match": group.etag}).result()
        self.assertEqual(replaced.tags, {"a": "b"})
        with self.assertRaises(HttpResponseError) as raised:
            self.groups.begin_create_or_update(GROUP, NSG, wanted, headers={"If-Match": group.etag})
        self.assertEqual((raised.exception.status_code, raised.exception.error.code), (412, "PreconditionFailed"))
        self.assertEqual(raised.exception.error.details[0].code, "PreconditionFailedEtagMismatch")

    def test_pages_are_walked(self):
        self.fake.control("PUT", "behaviour", {"page_size": 2, "tags_page_size": 1})
        for number in range(5):
            self.put(f"rule-{number}", rule(200 + number))
        self.assertEqual([one.name for one in self.rules.list(GROUP, NSG)], [f"rule-{number}" for number in range(5)])
        self.assertEqual([one.name for one in self.groups.list(GROUP)], [NSG])
        self.assertEqual([one.name for one in self.groups.list_all()], [NSG])
        tags = self.client.service_tags.list("westeurope")
        self.assertEqual((tags.change_number, len(tags.values_property if hasattr(tags, "values_property") else tags["values"])), ("63", 1))
        details = list(self.client.service_tag_information.list("westeurope"))
        self.assertEqual([one.name for one in details], ["AzureActiveDirectory", "Storage.WestEurope"])

    def test_a_group_is_made_and_removed(self):
        made = self.groups.begin_create_or_update(GROUP, "other", {"location": "westeurope"}).result()
        self.assertEqual([one.name for one in made.default_security_rules][:3],
                         ["AllowVnetInBound", "AllowAzureLoadBalancerInBound", "DenyAllInBound"])
        self.groups.begin_delete(GROUP, "other").result()
        with self.assertRaises(ResourceNotFoundError):
            self.groups.get(GROUP, "other")

    def test_an_expired_token_is_an_error(self):
        self.groups.get(GROUP, NSG)
        self.fake.control("POST", "advance?seconds=4000")
        with self.assertRaises(HttpResponseError) as raised:
            self.groups.get(GROUP, NSG)
        self.assertEqual((raised.exception.status_code, raised.exception.error.code), (401, "ExpiredAuthenticationToken"))

    def test_without_the_authority_nothing_is_sent(self):
        """The client does look at the certificate."""
        os.environ["REQUESTS_CA_BUNDLE"] = ""
        before = len(self.log())
        with self.assertRaises(ServiceRequestError):
            NetworkManagementClient(self.credential, SUBSCRIPTION, base_url=self.fake.url, retry_total=0,
                                    credential_scopes=["https://management.azure.com/.default"]
                                    ).network_security_groups.get(GROUP, NSG)
        self.assertEqual([one for one in self.log()[before:] if "oauth2" not in one["path"]], [])


if __name__ == "__main__":
    unittest.main()
