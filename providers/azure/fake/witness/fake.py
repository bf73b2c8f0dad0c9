"""A fake ARM as a program of its own, and what steers it."""

import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PROGRAM = os.environ.get("FAKE_ARM", "")


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.text = body.decode()

    @property
    def body(self):
        return json.loads(self.text) if self.text else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Fake:
    """Runs `fake-arm`; stops it at the end of `with`."""

    def __init__(self, **behaviour):
        if not PROGRAM:
            raise RuntimeError("FAKE_ARM names no program: run ./dev test azure_rig")
        self.folder = tempfile.TemporaryDirectory()
        at = Path(self.folder.name)
        self.ca = str(at / "ca.pem")
        self.process = subprocess.Popen(
            [PROGRAM, "--ca-out", self.ca, "--port-file", str(at / "port"), "--control"], stdout=subprocess.DEVNULL)
        try:
            self._begin(at / "port", behaviour)
        except BaseException:
            # Who fails to be made is never left by `with`.
            self.__exit__()
            raise

    def _begin(self, port, behaviour):
        end = time.monotonic() + 30
        while not port.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("fake-arm did not start")
            time.sleep(0.01)
        self.url = f"https://localhost:{port.read_text()}"
        handler = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=self.ca))
        self.opener = urllib.request.build_opener(handler, _NoRedirects)
        self.control("PUT", "behaviour", behaviour)
        self.token = self.control("POST", "token?seconds=3600")["access_token"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Told to stop, it leaves its dump.
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()

    def call(self, method, address, body=None, headers=None):
        url = address if address.startswith("https:") else self.url + address
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        request.add_header("Authorization", f"Bearer {getattr(self, 'token', '')}")
        if data:
            request.add_header("Content-Type", "application/json")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with self.opener.open(request, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers.items()), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers.items()), error.read())

    def control(self, method, path, body=None):
        answer = self.call(method, f"/_control/{path}", {} if body is None else body)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.text}")
        return answer.body
