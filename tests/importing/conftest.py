"""Published detectors, written once; and one of them imported, once."""

import detectors
import pytest

from nightshift.importing.source import Published, fetch_saved_model
from nightshift.tasks.registry import imported_task


@pytest.fixture(scope="session")
def task():
    return imported_task("detection")


@pytest.fixture(scope="session")
def published(tmp_path_factory):
    """The small detector in the format of TensorFlow 2."""
    return detectors.Detector().save(tmp_path_factory.mktemp("published") / "detector")


@pytest.fixture
def fetched(tmp_path):
    """Fetches a source into a folder of its own."""

    def fetch(source) -> Published:
        folder = tmp_path / f"fetched-{len(list(tmp_path.glob('fetched-*')))}"
        folder.mkdir()
        return fetch_saved_model(str(source), folder, tmp_path / "cache", lambda words: None)

    return fetch
