#!/usr/bin/env python3
"""The other end of the wire: who connects to the booted host, and the feed that it fetches from.

    outside.py connect SOURCE SERVER PORT        exit status 0 where a connection comes about and carries a byte
    outside.py knock SOURCE SERVER PORT FILE     does so all the time, a line for each: milliseconds of the monotonic
                                                 clock and `open` or `closed`
    outside.py serve ADDRESS PORT DIRECTORY      files over TLS, by DIRECTORY/key.pem and certificate.pem
"""

import functools
import http.server
import socket
import ssl
import sys
import time

# A connection that is dropped has to be given up some time; one that is let through is over in milliseconds.
GIVEN_UP = 0.7


def connects(source, server, port):
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(GIVEN_UP)
        try:
            client.bind((source, 0))
            client.connect((server, int(port)))
            return client.recv(1) != b""
        except OSError:
            return False


def knock(source, server, port, path):
    with open(path, "a", buffering=1) as log:
        while True:
            began = time.monotonic()
            is_open = connects(source, server, port)
            log.write(f"{began * 1000:.0f} {'open' if is_open else 'closed'}\n")
            time.sleep(0.05)


class Files(http.server.SimpleHTTPRequestHandler):
    def send_head(self):
        # Two publications within a second would be the same one to it.
        del self.headers["If-Modified-Since"]
        return super().send_head()


def serve(address, port, directory):
    files = functools.partial(Files, directory=directory)
    server = http.server.ThreadingHTTPServer((address, int(port)), files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{directory}/certificate.pem", f"{directory}/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


match sys.argv[1]:
    case "connect":
        sys.exit(0 if connects(*sys.argv[2:]) else 1)
    case "knock":
        knock(*sys.argv[2:])
    case "serve":
        serve(*sys.argv[2:])
