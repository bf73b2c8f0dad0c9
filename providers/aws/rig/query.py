"""EC2's query protocol: forms in, XML out."""

from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

EC2_NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


class Refused(Exception):
    """An error as EC2 answers it."""

    def __init__(self, code, message, status=400):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status


def flat(body):
    """The form as it was sent, one value for each key."""
    return dict(parse_qsl(body.decode(), keep_blank_values=True))


def nested(form):
    """`Filter.1.Value.2=x` becomes {"Filter": [{"Value": [.., "x"]}]}, in the order of the numbers."""
    tree = {}
    for key, value in form.items():
        *parents, last = key.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return listed(tree)


def listed(node):
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [listed(node[key]) for key in sorted(node, key=int)]
    return {key: listed(value) for key, value in node.items()}


def xml(name, value):
    """Dicts are elements, lists are `item`s, None is left out."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inner = "".join(xml(key, inner) for key, inner in value.items())
    elif isinstance(value, list):
        inner = "".join(xml("item", item) for item in value)
    elif isinstance(value, bool):
        inner = "true" if value else "false"
    else:
        inner = escape(str(value))
    return f"<{name}>{inner}</{name}>"


def answer(action, fields):
    inner = "".join(xml(key, value) for key, value in {"requestId": "rig", **fields}.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{action}Response xmlns="{EC2_NAMESPACE}">{inner}</{action}Response>'


def error(refused, service="ec2"):
    """Each service has a form of its own."""
    told = {"Code": refused.code, "Message": refused.message}
    if service == "ec2":
        form = xml("Response", {"Errors": {"Error": told}, "RequestID": "rig"})
    else:
        form = xml("ErrorResponse", {"Error": {"Type": "Sender", **told}, "RequestId": "rig"})
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{form}'
