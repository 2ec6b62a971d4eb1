"""Runs in a Pod: prints a model's ledger, folded, as JSON.

python telling.py MODEL
"""

import json
import sys
from pathlib import Path

from nightshift.serving.store import open_store

if __name__ == "__main__":
    state = open_store(Path("/nonexistent")).state(sys.argv[1])
    print(json.dumps({"serving": state.serving, "pending": state.pending, "refused": state.refused}))
