"""Where the public data is that tests read, which is not committed."""

import os
import unittest
from pathlib import Path


def data():
    """The folder; skips the test where it is missing, and fails in CI."""
    named = os.environ.get("TAGWALL_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[5] / "shared/data"
    if (folder / "azure").is_dir():
        return folder
    if os.environ.get("CI") == "true":
        raise RuntimeError(f"CI may skip nothing, and {folder} has no recordings of Azure")
    print(f"SKIPPED: {folder} has no recordings of Azure")
    raise unittest.SkipTest(f"{folder} has no recordings of Azure")
