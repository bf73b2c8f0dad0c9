"""Recorded exchanges with the real Azure, in the formats of four projects, read as one."""

import json
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path

import yaml


@dataclass
class Exchange:
    method: str
    url: str
    headers: dict
    body: object
    status: int
    answer_headers: dict
    answer: object
    # Whether the recording has what was sent: that of the Java SDK has not.
    complete: bool = field(default=True)


def _first(headers):
    return {name: value if isinstance(value, str) else value[0] for name, value in (headers or {}).items()}


def _json(body):
    if not isinstance(body, str):
        return body
    return json.loads(body) if body.strip() else None


def _go(document):
    for one in document["interactions"]:
        sent, got = one["request"], one["response"]
        yield Exchange(sent["method"], sent["url"], _first(sent["headers"]), _json(sent["body"]),
                       got["code"], _first(got["headers"]), _json(got["body"]))


def _ruby(document):
    for one in document["http_interactions"]:
        sent, got = one["request"], one["response"]
        # Forms for tokens, which belong to another server.
        if sent["uri"].endswith("/oauth2/token"):
            continue
        yield Exchange(sent["method"].upper(), sent["uri"], _first(sent["headers"]), _json(sent["body"].get("string", "")),
                       got["status"]["code"], _first(got["headers"]), _json(got["body"].get("string", "")))


def _net(document):
    # They stand by address, not by time.
    for one in sorted(document["Entries"], key=lambda one: parsedate_to_datetime(_first(one["ResponseHeaders"])["Date"])):
        yield Exchange(one["RequestMethod"], "https://management.azure.com" + one["RequestUri"], _first(one["RequestHeaders"]),
                       _json(one["RequestBody"]), one["StatusCode"], _first(one["ResponseHeaders"]), _json(one["ResponseBody"]))


def _java(document):
    for one in document["networkCallRecords"]:
        got = dict(one["Response"])
        status, body = int(got.pop("StatusCode")), _json(got.pop("Body", ""))
        yield Exchange(one["Method"], one["Uri"], _first(one["Headers"]), None, status, got, body, complete=False)


def read(path):
    """The exchanges of a file."""
    path = Path(path)
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".json":
        document = json.loads(text)
        exchanges = _net(document) if "Entries" in document else _java(document)
    else:
        document = yaml.safe_load(text)
        exchanges = _go(document) if "interactions" in document else _ruby(document)
    return list(exchanges)


def about_groups(exchanges):
    """Those about NSGs, their rules, or what holds them: the fake knows nothing else. Operations are those begun by
    such a request."""
    kept, operations = [], set()
    for one in exchanges:
        if one.url in operations or _is_about_groups(one):
            kept.append(one)
            named = {name.lower(): value for name, value in one.answer_headers.items()}
            operations |= {named.get("azure-asyncoperation"), named.get("location")}
    return kept


def _is_about_groups(exchange):
    path = re.sub(r"^https?://[^/]+", "", exchange.url).split("?")[0].lower()
    kinds = (r"/subscriptions/[^/]+/resourcegroups/[^/]+", r"/subscriptions/[^/]+/operationresults/[^/]+",
             r"/subscriptions/[^/]+(/resourcegroups/[^/]+)?/providers/microsoft.network/networksecuritygroups(/.*)?")
    return any(re.fullmatch(kind, path) for kind in kinds)


# What only Azure writes.
_READ_ONLY = {"id", "etag", "type", "provisioningState", "resourceGuid", "defaultSecurityRules", "networkInterfaces", "subnets"}


def body_from_answer(answer):
    """What must have been sent for such an answer: for recordings that leave it out."""
    if isinstance(answer, dict):
        # Application security groups are named by their identifiers.
        return {name: value if name.endswith("ApplicationSecurityGroups") else body_from_answer(value)
                for name, value in answer.items() if name not in _READ_ONLY}
    if isinstance(answer, list):
        return [body_from_answer(value) for value in answer]
    return answer


def shape(value, path=""):
    """Every place of a JSON value with its type; all elements of a list share one."""
    kind = {dict: "object", list: "list", str: "string", bool: "boolean", int: "number", float: "number"}.get(type(value), "null")
    found = {(path or "/", kind)}
    if isinstance(value, dict):
        for name, inner in value.items():
            # Tags and such are the caller's own.
            found |= shape(inner, f"{path}/{name}") if not path.endswith("/tags") else set()
    if isinstance(value, list):
        for inner in value:
            found |= shape(inner, f"{path}[]")
    return found
