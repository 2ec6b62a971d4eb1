from pathlib import Path

import pytest
from example_run import write_run

from nightshift.workspace import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run in which every step succeeded and a version was released."""
    return write_run(tmp_path / "nightly-1")
