"""Writes the publication that follows another one, for `./dev demo`: in one tag a prefix is widened, one goes, one comes.

demo_next_publication.py TAG FIRST.json NEXT.json    prints the prefix that goes and the one that comes
"""

import ipaddress
import json
import sys


def main(tag, first, following):
    with open(first, encoding="utf-8") as file:
        document = json.load(file)
    tags = {value["name"]: value["properties"] for value in document["values"]}
    texts = tags[tag]["addressPrefixes"]
    prefixes = [ipaddress.ip_network(text) for text in texts]

    def overlaps(prefix, others):
        return any(prefix.version == other.version and prefix.overlaps(other) for other in others)

    def room_to_widen(prefix):
        others = [other for other in prefixes if other != prefix]
        return prefix.version == 4 and 24 <= prefix.prefixlen < 32 and not overlaps(prefix.supernet(), others)

    # The first prefix stays as it is: the demo connects from it all the while.
    rest = prefixes[1:]
    widened = next(prefix for prefix in rest if room_to_widen(prefix))
    removed = max(
        (prefix for prefix in rest if prefix.version == 4 and prefix != widened), key=lambda prefix: prefix.prefixlen
    )
    others = (ipaddress.ip_network(text) for properties in tags.values() for text in properties["addressPrefixes"])
    taken = [*prefixes, widened.supernet()]
    added = next(prefix for prefix in others if prefix.version == 4 and not overlaps(prefix, taken))

    texts[prefixes.index(widened)] = str(widened.supernet())
    texts.remove(str(removed))
    texts.append(str(added))
    tags[tag]["changeNumber"] += 1
    document["changeNumber"] += 1
    with open(following, "w", encoding="utf-8", newline="\r\n") as file:
        file.write(json.dumps(document, indent=2, ensure_ascii=False))
    print(removed, added)


if __name__ == "__main__":
    main(*sys.argv[1:])
