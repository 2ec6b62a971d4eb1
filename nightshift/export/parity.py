"""Proof by question and answer: a model server, in a process of its own, against the trained network. No TensorFlow."""

import tempfile
from pathlib import Path

from nightshift.errors import StoreError
from nightshift.serving.client import Client
from nightshift.serving.golden import Golden
from nightshift.serving.process import server_process
from nightshift.serving.smoke import Differences, smoke_test


def prove_equal(saved_model: Path, model: str, golden: Golden) -> Differences:
    """Serve a SavedModel on a free port of loopback, ask it the golden batch and compare.

    Returns:
        signature -> output -> the largest absolute difference.

    Raises:
        StoreError: the server does not load it, or answers otherwise than the trained network.
    """
    with tempfile.TemporaryDirectory(prefix="nightshift-parity-") as folder:
        base = Path(folder) / model
        base.mkdir()
        (base / "1").symlink_to(saved_model.resolve(), target_is_directory=True)
        arguments = [
            "-m",
            "nightshift.serving.embedded",
            "--port=0",
            f"--model_name={model}",
            f"--model_base_path={base}",
        ]
        with server_process(arguments) as target, Client(target, timeout=60) as client:
            for status in client.status(model):
                if status.state == "END":
                    raise StoreError(f"{saved_model}: a model server cannot load it: {status.error}")
            return smoke_test(client, model, 1, golden)
