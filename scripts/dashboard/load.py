#!/usr/bin/env python3
"""Loads the dashboard with Grafana's own model of one (its Foundation SDK), and shows that nothing of it is lost.

    load.py DASHBOARD

Grafana drops what it does not know without a word: a key that is misspelt is a panel that shows less. Each key and value
has to come back from the model. The same is then done with a dashboard that is wrong, which has to be noticed.
"""

import copy
import json
import sys

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

# What Grafana writes of a query variable beside the query itself, and the model of this version lacks.
UNKNOWN_TO_THE_MODEL = {"/templating/list/definition"}


def lost(given, kept, path=""):
    if isinstance(given, dict):
        for key, value in given.items():
            if not isinstance(kept, dict) or key not in kept:
                yield f"{path}/{key}"
            else:
                yield from lost(value, kept[key], f"{path}/{key}")
    elif isinstance(given, list):
        if not isinstance(kept, list) or len(given) != len(kept):
            yield path
        else:
            for one, other in zip(given, kept):
                yield from lost(one, other, path)
    elif given != kept:
        yield path


def loaded(given):
    kept = json.loads(JSONEncoder().encode(Dashboard.from_json(copy.deepcopy(given))))
    return set(lost(given, kept)) - UNKNOWN_TO_THE_MODEL


def main():
    plugins.register_default_plugins()
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    if gone := loaded(given):
        sys.exit(f"Grafana's model does not take: {sorted(gone)}")
    wrong = copy.deepcopy(given)
    wrong["panels"][0]["gridPosition"] = wrong["panels"][0].pop("gridPos")
    wrong["panels"][1]["targets"][0]["expression"] = "up"
    if len(loaded(wrong)) != 2:
        sys.exit("a dashboard that is wrong was taken")
    print(f"Grafana's model takes the dashboard with its {len(given['panels'])} panels, and not one that is wrong")


main()
