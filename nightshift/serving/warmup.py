"""The requests that a version answers before it is served: the first ones are slow, and a broken model fails here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from nightshift.protos import prediction_log_pb2
from nightshift.serving import runtime
from nightshift.serving.classify import classify
from nightshift.serving.predict import predict
from nightshift.serving.servable import Servable
from nightshift.serving.status import invalid_argument, of_tensorflow, unimplemented

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def warm_up(servable: Servable, version: Path, *, max_bytes: int) -> int:
    """Replay the version's warm-up file, if it has one, and return how many requests that were.

    Args:
        servable: the loaded version.
        version: its folder.
        max_bytes: the most memory that one input may take.

    Raises:
        StatusError: the file is damaged or too long, or the model refused a request.
    """
    path = version / WARMUP_FILE
    if not path.exists():
        return 0
    count = 0
    for log in _logs(path):
        count += 1
        if count > MAX_RECORDS:
            raise invalid_argument(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}")
        _replay(servable, log, max_bytes)
    return count


def _logs(path: Path) -> Iterator[Any]:
    try:
        for record in runtime.tf_record_iterator(str(path)):
            yield prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid_argument(f"Failed to parse warmup record from {path}: {error}") from error
    except runtime.OpError as error:
        raise of_tensorflow(error) from error


def _replay(servable: Servable, log: Any, max_bytes: int) -> None:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        predict(servable, 0, log.predict_log.request, max_bytes=max_bytes)
    elif kind == "classify_log":
        classify(servable, 0, log.classify_log.request)
    elif kind is not None:
        raise unimplemented(f"Unsupported log_type for warmup: {kind}")
