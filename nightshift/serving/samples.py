"""A sample of live requests with their answers, kept for drift and for shadowing: asked for by somebody, or not at all.

Files are TFRecords of tensorflow.serving.PredictionLog, what TensorFlow Serving's request logging and its warm-up files
hold, below PLACE/MODEL/VERSION. How much is kept, and for how long, is bounded. No TensorFlow.
"""

import atexit
import logging
import queue
import random
import re
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from google.protobuf.message import DecodeError

from nightshift.errors import ConfigurationError, DataError, NightshiftError, StoreError
from nightshift.protos import classification_pb2, predict_pb2, prediction_log_pb2
from nightshift.serving.records import framed, unframed
from nightshift.serving.sample_files import MAX_FILE_BYTES, SampleFile, SampleFiles, sample_files
from nightshift.settings import settings, workspace_path

logger = logging.getLogger(__name__)

MAX_RECENT_BYTES = 256 << 20
"""Of the files that one call of `recent` reads."""
_KEPT = (predict_pb2.PredictRequest, classification_pb2.ClassificationRequest)
_PLAIN = re.compile(r"[\w-]{1,200}")
_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True)
class Retention:
    """How much is kept of a model, over all its versions; the oldest files go first.

    Attributes:
        files: at most so many.
        bytes: at most so many in all of them.
        days: none that is older.
    """

    files: int = 100
    bytes: int = 256 << 20
    days: float = 14.0


@dataclass(frozen=True)
class Batching:
    """When a file is written, and what may wait for that.

    Attributes:
        records: as soon as there are so many of a version.
        bytes: or so many bytes of them.
        seconds: or the first of them is so old.
        waiting: samples that may wait for the writing thread; further ones are dropped.
        waiting_bytes: and bytes of them; a larger sample is dropped, too.
    """

    records: int = 64
    bytes: int = 8 << 20
    seconds: float = 30.0
    waiting: int = 256
    waiting_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        # A file may be longer than `bytes` by one record, and `recent` has to read it.
        if self.bytes + self.waiting_bytes > MAX_FILE_BYTES:
            raise ConfigurationError(f"bytes, waiting_bytes: expected {MAX_FILE_BYTES:,} at most together")


class Sampler:
    """Keeps a share of the requests that it is offered; a thread of its own writes them.

    Attributes:
        place: a folder or gs://BUCKET/PREFIX.
        rate: share of the requests that are kept, above 0, at most 1.
        kept: samples written so far.
        dropped: samples lost so far, because the thread could not keep up or a file could not be written.
    """

    def __init__(
        self, place: str, rate: float, *, retention: Retention | None = None, batching: Batching | None = None
    ) -> None:
        """Start the thread.

        Raises:
            ConfigurationError: the place is neither a folder nor gs://BUCKET/PREFIX, or the rate no share.
            StoreError: a file is where the folder would be.
        """
        if not 0 < rate <= 1:
            raise ConfigurationError(f"sample rate: found {rate:g}, expected above 0, at most 1")
        self.place, self.rate = place, rate
        self.kept = self.dropped = 0
        self._files = sample_files(place)
        self._retention, self._batching = retention or Retention(), batching or Batching()
        self._random = random.Random()
        self._queue: queue.SimpleQueue[_Sample | None] = queue.SimpleQueue()
        self._waiting = self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="sampler", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def offer(self, model: str, version: int, request: Any, response: Any) -> None:
        """Keep a request and its answer, or not; never waits, never raises.

        Requests that name a version by its number are not kept: so versions are tried out, and live traffic is asked
        again to compare them.

        Args:
            model: its name.
            version: that answered.
            request: a PredictRequest or ClassificationRequest; others are not kept.
            response: to it.
        """
        if self._random.random() >= self.rate or self._closed:
            return
        try:
            sample = self._sample(model, version, request, response)
        except Exception:  # whatever is wrong with a sample, the request was answered and is not to fail for it
            logger.exception("a request of model %s could not be sampled", model)
            return
        if sample is not None:
            self._queue.put(sample)

    def _sample(self, model: str, version: int, request: Any, response: Any) -> "_Sample | None":
        """Serialised at once: whoever offers may change the messages later. None if it is not to be kept."""
        if not _PLAIN.fullmatch(model) or version < 0 or request.model_spec.HasField("version"):
            return None
        # Before anything is copied: this is the thread of the request.
        if not isinstance(request, _KEPT) or not self._room(1, request.ByteSize() + response.ByteSize()):
            return None
        log = _log(request, response)
        log.log_metadata.model_spec.name = model
        log.log_metadata.model_spec.version.value = version
        log.log_metadata.sampling_config.sampling_rate = self.rate
        record: bytes = log.SerializeToString()
        return _Sample(model, version, record) if self._room(1, len(record), take=True) else None

    def _room(self, samples: int, size: int, *, take: bool = False) -> bool:
        """Whether so much more may wait; counted as waiting, or as dropped."""
        with self._lock:
            fits = (
                self._waiting + samples <= self._batching.waiting
                and self._waiting_bytes + size <= self._batching.waiting_bytes
            )
            if not fits:
                self.dropped += 1
            elif take:
                self._waiting += samples
                self._waiting_bytes += size
            return fits

    def close(self) -> None:
        """Write what waits and end the thread; offers after that are ignored."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()
        atexit.unregister(self.close)

    def _work(self) -> None:
        batches: dict[tuple[str, int], _Batch] = {}
        while True:
            try:
                sample = self._queue.get(timeout=self._patience(batches))
            except queue.Empty:
                pass
            else:
                if sample is None:
                    break
                batches.setdefault((sample.model, sample.version), _Batch()).add(sample.record)
            for key in [key for key, batch in batches.items() if batch.due(self._batching)]:
                self._write(*key, batches.pop(key))
        for (model, version), batch in batches.items():
            self._write(model, version, batch)

    def _patience(self, batches: "dict[tuple[str, int], _Batch]") -> float | None:
        """Seconds until a batch is old enough; None: there is none."""
        if not batches:
            return None
        oldest = min(batch.began for batch in batches.values())
        return max(0.0, oldest + self._batching.seconds - time.monotonic())

    def _write(self, model: str, version: int, batch: "_Batch") -> None:
        name = f"{version}/{time.strftime(_TIME, time.gmtime())}-{uuid.uuid4().hex[:8]}.tfrecord"
        try:
            self._files.write(model, name, framed(batch.records))
            self.kept += len(batch.records)
            self._prune(model)
        except Exception as error:  # the thread lives on: the next file may succeed
            with self._lock:
                self.dropped += len(batch.records)
            expected = isinstance(error, NightshiftError)
            logger.warning("samples of %s were not kept: %s", model, error, exc_info=not expected)
        finally:
            with self._lock:
                self._waiting -= len(batch.records)
                self._waiting_bytes -= batch.size

    def _prune(self, model: str) -> None:
        for file in beyond(self._files.listed(model), self._retention):
            self._files.delete(model, file)


@dataclass(frozen=True)
class _Sample:
    model: str
    version: int
    record: bytes


class _Batch:
    """Samples of one version on their way into a file."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.records: list[bytes] = []
        self.size = 0

    def add(self, record: bytes) -> None:
        self.records.append(record)
        self.size += len(record)

    def due(self, limits: Batching) -> bool:
        old = time.monotonic() - self.began >= limits.seconds
        return old or len(self.records) >= limits.records or self.size >= limits.bytes


def _log(request: Any, response: Any) -> Any:
    """The PredictionLog of a request of a kind that is kept, and its answer."""
    if isinstance(request, predict_pb2.PredictRequest):
        answered = prediction_log_pb2.PredictLog(request=request, response=response)
        return prediction_log_pb2.PredictionLog(predict_log=answered)
    classified = prediction_log_pb2.ClassifyLog(request=request, response=response)
    return prediction_log_pb2.PredictionLog(classify_log=classified)


def beyond(files: list[SampleFile], retention: Retention) -> list[SampleFile]:
    """Those of a model's files, the newest first, that are not to be kept; the newest stays whatever its size."""
    oldest = time.strftime(_TIME, time.gmtime(time.time() - 86_400 * retention.days))
    going, size = [], 0
    for place, file in enumerate(files):
        size += file.size
        if place >= retention.files or (place and size > retention.bytes) or file.time < oldest:
            going.append(file)
    return going


def recent(place: str, model: str, count: int, *, version: int | None = None) -> list[Any]:
    """The sampled requests of a model with their answers, the newest first.

    A file that is damaged is left out, and the log says so.

    Args:
        place: a folder or gs://BUCKET/PREFIX.
        model: its name.
        count: at most so many; and no more files than have MAX_RECENT_BYTES together.
        version: only those that this version answered; None: any.

    Returns:
        tensorflow.serving.PredictionLogs; none if nothing was sampled.

    Raises:
        ConfigurationError: the place is neither a folder nor gs://BUCKET/PREFIX.
        StoreError: it cannot be listed or read, or the name is not a plain one.
    """
    if not _PLAIN.fullmatch(model):
        raise StoreError(f"model {model!r}: expected letters, digits, '-' and '_'")
    found: list[Any] = []
    files, left = sample_files(place), MAX_RECENT_BYTES
    for file in files.listed(model):
        if version is not None and file.version != version:
            continue
        left -= file.size
        if len(found) >= count or left < 0:
            break
        found += _logs_of(files, model, file)
    return found[:count]


def _logs_of(files: SampleFiles, model: str, file: SampleFile) -> list[Any]:
    """The logs of one file, the last one written first; none if it has just been removed, or is damaged."""
    try:
        content = files.read(model, file)
        records = unframed(content, f"{files.url(model)}/{file.name}")
        return [prediction_log_pb2.PredictionLog.FromString(record) for record in records][::-1]
    except FileNotFoundError:
        return []  # retention was faster
    except (DataError, DecodeError) as error:
        logger.warning("left out of the samples: %s", error)
        return []


def samples_place(workspace: Path) -> str:
    """Where a workspace's samples are: what NIGHTSHIFT_SAMPLES names, or else its folder `samples`."""
    return settings().samples or str(workspace / "samples")


def sampler_of_environment() -> Sampler | None:
    """The sampler that a client is to have by NIGHTSHIFT_SAMPLE_RATE and NIGHTSHIFT_SAMPLES; None: no rate is named.

    Raises:
        ConfigurationError: they are no share and no place.
        StoreError: a file is where the folder would be.
    """
    rate = settings().sample_rate
    return Sampler(samples_place(workspace_path()), rate) if rate else None
