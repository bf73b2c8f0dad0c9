"""The rig of the AWS provider's tests: moto, the strict layer over it, and faults, in one process on loopback.

    python server.py [--port 0] [--log FILE] [--while-stdin]
                                                    prints `listening on http://127.0.0.1:PORT`; ends with its stdin

Control, all JSON:
    POST /_rig/reset                                nothing is there, no faults, clock and figures as at first
    POST /_rig/faults    {action, nth, kind, ...}   a fault, see `Fault`; GET shows those still to come
    POST /_rig/settings  {quota, lag, settle, untagged, allow, distance}
                         rules of a family in a group; seconds until writes show in reads; seconds until a changed
                         prefix list is complete; whether the next authorise forgets its tags; the only actions that
                         are allowed (null: all); seconds that each call is under way, as from afar
    POST /_rig/advance   {seconds}                  moves the rig's clock: a lag of minutes passes at once
    GET  /_rig/log                                  every call, as --log writes it, one line each, in their order
    GET  /_rig/state                                rules and lists as they are now, lag or not

No header of a request is kept or written: no key, signature or session token is ever in the log.
"""

import argparse
import json
import logging
import re
import socket
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import Client

from query import Refused, answer, error, flat, nested
from strict import Strict, writes

CREDENTIAL = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/")

ANSWERS = {
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
CUTS = ("timeout", "cut")


@dataclass
class Fault:
    """The `nth` call of an action from now on (1 is the next; action `*` is any, `writing` any that writes) and the
    `times - 1` after it fail. With `after` the call is made and its answer lost."""

    kind: str
    action: str = "*"
    nth: int = 1
    times: int = 1
    after: bool = False
    seconds: float = 60.0  # how long a `timeout` says nothing before it hangs up

    def __post_init__(self):
        if self.kind not in (*ANSWERS, *CUTS) or self.nth < 1 or self.times < 1:
            raise ValueError(f"there is no fault {self}")

    def matches(self, action):
        return self.action in ("*", action) or (self.action == "writing" and writes(action))

    def strikes(self, action):
        """Counts one call. Whether it is struck."""
        if not self.matches(action) or self.times == 0:
            return False
        self.nth -= 1
        if self.nth > 0:
            return False
        self.times -= 1
        return True


class Rig:
    def __init__(self, log):
        self.lock = threading.RLock()
        self.file = log
        self.strict = Strict(self.clock_now)
        self.moto = Client(DomainDispatcherApplication(create_backend_app))
        self.reset()

    def clock_now(self):
        return time.monotonic() + self.offset

    def reset(self):
        self.offset, self.faults, self.log, self.allow, self.distance = 0.0, [], [], None, 0.0
        self.strict.reset()
        self.moto.post("/moto-api/reset", headers={"Host": "localhost"})

    # Calls

    def make(self, action, where, call, request):
        """Status and body of one call without faults."""
        if self.allow is not None and f"{request['service']}:{action}" not in self.allow:
            raise Refused("UnauthorizedOperation", f"You are not authorized to perform: {request['service']}:{action}", 403)
        ours = request["service"] == "ec2" and self.strict.handles(action)
        if action in ("CreateTags", "DeleteTags") and not self.strict.keeps(call):
            ours = False
        if not ours:
            response = self.moto.post(request["path"], data=request["body"], headers=request["headers"])
            return response.status_code, response.get_data(), response.content_type
        if call.get("DryRun") == "true":
            raise Refused("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412)
        fields = self.strict.call(action, where, call)
        return 200, answer(action, fields).encode(), "text/xml;charset=UTF-8"

    def handle(self, request):
        """One call, from the wire to its answer; None for an answer that never comes."""
        form = flat(request["body"])
        action = form.get("Action", "?")
        signed = CREDENTIAL.search(request["headers"].get("Authorization", ""))
        # AssumeRoleWithWebIdentity is not signed.
        key, region, service = signed.groups() if signed else ("none", "us-east-1", "sts")
        request["service"] = service
        where = (get_account_id_from(key), region)
        with self.lock:
            struck = [fault for fault in self.faults if fault.strikes(action)]
            fault = struck[0] if struck else None
            self.faults = [fault for fault in self.faults if fault.times]
            entry = {
                "number": len(self.log),
                "account": where[0],
                "region": region,
                "service": service,
                "action": action,
                "writes": writes(action) and form.get("DryRun") != "true",
                "fault": fault.kind if fault else None,
                "made": False,
            }
            secret = ("Action", "Version", "WebIdentityToken", "ExternalId")
            entry["parameters"] = {name: value for name, value in form.items() if name not in secret}
            before = self.contents(where)
            status, body, kind = self.outcome(fault, action, where, nested(form), request, entry)
            entry["added"], entry["removed"] = changes(before, self.contents(where))
            entry["status"] = status
            self.log.append(entry)
            if self.file:
                self.file.write(json.dumps(entry) + "\n")
                self.file.flush()
        if fault and fault.kind in CUTS:
            return None, fault.seconds if fault.kind == "timeout" else 0.0
        return (status, body, kind), 0.0

    def outcome(self, fault, action, where, call, request, entry):
        try:
            made = None
            if fault is None or fault.after:
                made = self.make(action, where, call, request)
                entry["made"] = made[0] == 200
            if fault and fault.kind in ANSWERS:
                code, status = ANSWERS[fault.kind]
                raise Refused(code, "the rig was told to answer this", status)
            return made or (None, b"", "")
        except Refused as refused:
            entry["code"] = refused.code
            return refused.status, error(refused, request["service"]).encode(), "text/xml;charset=UTF-8"

    def contents(self, where):
        state = self.strict.regions.get(where)
        if state is None:
            return {}
        held = {("rule", name): rule for name, rule in state.rules.items()}
        for name, listed in state.lists.items():
            for cidr, text in listed["versions"][listed["version"]].items():
                held[("entry", name, cidr)] = {"prefixListId": name, "cidr": cidr, "description": text}
        return held

    # Control

    def control(self, method, path, body):
        with self.lock:
            if (method, path) == ("POST", "reset"):
                self.reset()
            elif (method, path) == ("POST", "faults"):
                self.faults.append(Fault(**body))
            elif (method, path) == ("GET", "faults"):
                return [fault.__dict__ for fault in self.faults]
            elif (method, path) == ("POST", "settings"):
                self.set(body)
            elif (method, path) == ("POST", "advance"):
                self.offset += float(body["seconds"])
            elif (method, path) == ("GET", "log"):
                return self.log
            elif (method, path) == ("GET", "state"):
                return [self.shown(where, state) for where, state in sorted(self.strict.regions.items())]
            else:
                raise ValueError(f"there is no {method} {path}")
        return {}

    def set(self, settings):
        for name, value in settings.items():
            if name == "distance":
                self.distance = float(value)
                continue
            if name == "allow":
                self.allow = value
            elif name in ("quota", "lag", "settle", "untagged"):
                setattr(self.strict, name, value)
            else:
                raise ValueError(f"there is no setting {name}")

    def shown(self, where, state):
        rules = [{**rule, "tags": state.tags.get(name, {})} for name, rule in state.rules.items()]
        lists = [
            {
                **{key: listed[key] for key in ("prefixListId", "addressFamily", "maxEntries", "version")},
                "entries": listed["versions"][listed["version"]],
                "tags": state.tags.get(name, {}),
            }
            for name, listed in state.lists.items()
        ]
        return {"account": where[0], "region": where[1], "rules": rules, "lists": lists}


def changes(before, after):
    added = [after[key] for key in after if key not in before]
    return added, [before[key] for key in before if key not in after]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rig = None

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.any("GET")

    def do_POST(self):
        self.any("POST")

    def any(self, method):
        body = self.body()
        if self.path.startswith("/_rig/"):
            try:
                given = json.loads(body) if body else {}
                shown, status = self.rig.control(method, self.path.removeprefix("/_rig/"), given), 200
            except (ValueError, TypeError, KeyError) as wrong:
                shown, status = {"error": str(wrong)}, 400
            self.reply(status, json.dumps(shown).encode(), "application/json")
            return
        # Some clients write the names of headers small.
        headers = {name.title(): value for name, value in self.headers.items()}
        request = {"path": self.path, "body": body, "headers": headers}
        # Calls that are under way wait side by side; only what is done about them goes one by one.
        time.sleep(self.rig.distance)
        answered, silence = self.rig.handle(request)
        if answered is None:
            self.hang_up(silence)
        else:
            self.reply(*answered)

    def hang_up(self, silence):
        self.close_connection = True
        if silence:
            # Until the client loses patience, which shows as the end of its stream.
            self.connection.settimeout(silence)
            try:
                self.connection.recv(1)
            except TimeoutError:
                pass
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def serve(port=0, log=None):
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    handler = type("RigHandler", (Handler,), {"rig": Rig(log)})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    return server


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=argparse.FileType("a"))
    parser.add_argument("--while-stdin", action="store_true", help="end when stdin does: with whoever started it")
    options = parser.parse_args()
    server = serve(options.port, options.log)
    sys.stdout.write(f"listening on http://127.0.0.1:{server.server_address[1]}\n")
    sys.stdout.flush()
    if options.while_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), server.shutdown()), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
