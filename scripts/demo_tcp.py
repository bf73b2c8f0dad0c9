"""The two ends of the connections that `./dev demo` tries.

serve PORT                     answers every connection, on both families
ask SOURCE DESTINATION PORT    connects from an address: exit status 0 connected, 1 no answer
"""

import socket
import sys

# Loopback and veth answer in microseconds: a second of silence is a refusal.
PATIENCE = 1.0


def serve(port):
    if socket.has_dualstack_ipv6():
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    else:
        listener = socket.create_server(("0.0.0.0", port))
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"hello\n")


def ask(source, destination, port):
    try:
        with socket.create_connection((destination, port), timeout=PATIENCE, source_address=(source, 0)) as connection:
            return connection.recv(16) == b"hello\n"
    except TimeoutError:
        return False


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    source, destination, port = sys.argv[2:]
    sys.exit(0 if ask(source, destination, int(port)) else 1)
