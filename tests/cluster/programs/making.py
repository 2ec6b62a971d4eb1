"""Runs in a Pod: makes SavedModels that answer y = factor * x, each complete with golden batch, card and manifest.

    python making.py FOLDER NAME=FACTOR[:GOLDEN_FACTOR] ...

One whose golden batch is that of another factor answers wrongly.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from version_folder import write_version

if __name__ == "__main__":
    for wanted in sys.argv[2:]:
        name, _, factors = wanted.partition("=")
        factor, _, golden = factors.partition(":")
        write_version(Path(sys.argv[1]) / name, float(factor), golden_factor=float(golden) if golden else None)
