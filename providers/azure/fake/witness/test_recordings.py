"""Replays every recorded exchange on NSGs against the fake, and compares: status, names of headers, shape of the JSON,
codes and texts of errors, states."""

import copy
import re
import unittest
from collections import Counter
from urllib.parse import urlsplit

import recordings
from data import data
from fake import Fake

# Headers of transport and of Microsoft's machines. Which are there differs from recording to recording.
TRANSPORT = {
    "connection", "content-length", "date", "server", "transfer-encoding", "vary", "x-cache", "x-msedge-ref",
    # The Kubernetes recordings are stripped of these.
    "x-ms-request-id", "x-ms-correlation-request-id", "x-ms-routing-request-id", "x-ms-arm-service-request-id",
}

# Differences that are let pass. Each must be met, or the table is out of date.
TOLERATED = [
    ("missing", r"/properties/networkInterfaces.*", "the fake has no network interfaces, which the recorded group was attached to"),
    ("missing header", r"retry-after", "of each time its own: 1, 3, 10, and none in 2025; a switch of the fake"),
    ("extra header", r"azure-asyncnotification", "sent since about 2020, in the public cloud"),
    ("missing header", r"x-ms-ratelimit-remaining-subscription-writes", "in 2016 a removal counted as a write, and resource groups count by their own version"),
    ("extra header", r"x-ms-ratelimit-remaining-subscription-.*", "Azure China showed none, nor did errors of the gateway"),
    ("missing header", r"x-ms-ratelimit-remaining-subscription-.*", "the name changed with the years, not with the version asked for"),
    ("extra header", r"x-content-type-options", "sent since 2017 or so"),
    ("missing header", r"x-ms-original-request-ids", "names the machines that a list was gathered from"),
    ("status", r"GET /subscriptions/sub/operationresults/\S+ 202 200", "the fake removes resource groups at once"),
    ("status", r"DELETE /subscriptions/sub/resourcegroups/rg5210 202 404", "the fake removes resource groups at once"),
    ("extra", r"/type string", "resource groups of 2016 showed no type"),
    ("missing", r"/tags.*", "whether empty tags are shown differs"),
    ("missing", r"/value\[\].*", "other groups were there before the recording began"),
]


class Replay:
    """One recording against one fake."""

    def __init__(self, exchanges):
        self.exchanges = recordings.about_groups(exchanges)
        self.left_out = len(exchanges) - len(self.exchanges)
        # Recorded addresses of operations, and those of the fake.
        self.addresses = {}

    def run(self, alter=lambda exchange: exchange):
        """All differences, as (kind, text)."""
        with Fake() as fake:
            return [(kind, text) for one in self.exchanges for kind, text in self.compare(fake, alter(one))]

    def send(self, fake, exchange):
        # The operation that this begins is to be as long as it was.
        begun = lower(exchange.answer_headers).get("azure-asyncoperation")
        if begun:
            polls = [one.answer for one in self.exchanges if one.url == begun]
            fake.control("PUT", "behaviour", {"polls": sum(1 for one in polls if one == {"status": "InProgress"})})
        url = self.addresses.get(exchange.url)
        if url is None:
            parts = urlsplit(exchange.url.replace("<AZURE_SUBSCRIPTION_ID>", "sub"))
            path = re.sub(r"/subscriptions/[^/]+", "/subscriptions/sub", parts.path, count=1)
            url = f"{path}?{parts.query}"
        body = exchange.body
        if not exchange.complete and exchange.method == "PUT":
            body = recordings.body_from_answer(exchange.answer)
        if not exchange.complete and exchange.method == "PATCH":
            body = {"tags": exchange.answer["tags"]}
        kept = {name: value for name, value in exchange.headers.items() if name.lower() in ("if-match", "accept")}
        answer = fake.call(exchange.method, url, body, kept)
        theirs, ours = lower(exchange.answer_headers), lower(answer.headers)
        for name in ("azure-asyncoperation", "location"):
            if name in theirs and name in ours:
                self.addresses[theirs[name]] = ours[name]
        return url, answer

    def compare(self, fake, exchange):
        url, answer = self.send(fake, exchange)
        where = f"{exchange.method} {urlsplit(url).path}"
        if answer.status != exchange.status:
            yield "status", f"{where} {exchange.status} {answer.status}"
            return
        theirs, ours = (set(lower(headers)) - TRANSPORT for headers in (exchange.answer_headers, answer.headers))
        yield from (("missing header", name) for name in sorted(theirs - ours))
        yield from (("extra header", name) for name in sorted(ours - theirs))
        if (exchange.answer is None) != (answer.body is None):
            yield "body", f"{where}: {exchange.answer!r} {answer.body!r}"
            return
        theirs, ours = recordings.shape(exchange.answer), recordings.shape(answer.body)
        yield from (("missing", f"{path} {kind}") for path, kind in sorted(theirs - ours))
        yield from (("extra", f"{path} {kind}") for path, kind in sorted(ours - theirs))
        yield from (("value", f"{where}: {old!r} {new!r}") for old, new in zip(values(exchange.answer), values(answer.body)) if old != new)


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


def values(body):
    """What is the same in both: codes, texts, states, rules by name."""
    body = body or {}
    error, properties = body.get("error") or {}, body.get("properties") or {}
    details = error.get("details") or []
    text = re.sub(r"W/\"[^\"]*\"|/subscriptions/[^/]+", "…", " ".join([error.get("message", ""), *(one["message"] for one in details)]))
    rules = [(rule["name"], rule["properties"]["priority"], rule["properties"]["provisioningState"])
             for key in ("securityRules", "defaultSecurityRules") for rule in properties.get(key) or []]
    return [error.get("code"), [one["code"] for one in details], text, body.get("status"), body.get("name"),
            body.get("location"), properties.get("provisioningState"), rules]


def tolerated(difference):
    return next((entry for entry in TOLERATED if entry[0] == difference[0] and re.fullmatch(entry[1], difference[1])), None)


def all_recordings():
    files = sorted(path for path in (data() / "azure/recordings").rglob("*") if path.is_file())
    return {f"{path.parent.name}/{path.name}": recordings.read(path) for path in files}


class Recordings(unittest.TestCase):
    def setUp(self):
        self.all = all_recordings()

    def test_the_fake_answers_as_azure_did(self):
        met, compared, left_out, unexplained = Counter(), 0, 0, []
        for name, exchanges in self.all.items():
            replay = Replay(exchanges)
            compared, left_out = compared + len(replay.exchanges), left_out + replay.left_out
            for difference in replay.run():
                entry = tolerated(difference)
                if entry:
                    met[entry] += 1
                else:
                    unexplained.append(f"{name}: {difference[0]}: {difference[1]}")
        self.assertEqual(unexplained, [], "\n".join(unexplained))
        self.assertEqual([entry for entry in TOLERATED if not met[entry]], [], "these are not met any more")
        self.assertGreater(compared, 150)
        print(f"{compared} recorded exchanges of {len(self.all)} recordings replayed, {left_out} on other resources left out; "
              f"{sum(met.values())} differences of {len(met)} kinds are explained")

    def test_differences_are_seen(self):
        """A comparison that accepts everything would prove nothing."""
        name = "k8s-cloud-provider-azure/securitygroup-AZURECLOUD.yaml"

        def altered(change):
            def alter(exchange):
                exchange = copy.deepcopy(exchange)
                change(exchange)
                return exchange
            found = Replay(self.all[name]).run(alter)
            return [kind for kind, text in found if not tolerated((kind, text))]

        def of_status(status, change):
            return lambda exchange: change(exchange) if exchange.status == status else None

        self.assertEqual(altered(lambda _: None), [])
        for change, kind in [
            (of_status(412, lambda one: setattr(one, "status", 409)), "status"),
            (of_status(202, lambda one: one.answer_headers.update({"X-New": "1"})), "missing header"),
            (of_status(412, lambda one: one.answer["error"].update(code="Other")), "value"),
            (of_status(412, lambda one: one.answer["error"].update(message="Other")), "value"),
            (of_status(200, lambda one: one.answer and one.answer.update(more=1)), "missing"),
            (of_status(201, lambda one: one.answer.pop("location")), "extra"),
            (of_status(201, lambda one: one.answer["properties"].update(provisioningState="Succeeded")), "value"),
            (of_status(200, lambda one: one.answer_headers.pop("Etag", None)), "extra header"),
        ]:
            self.assertIn(kind, altered(change))


if __name__ == "__main__":
    unittest.main()
