"""A prepared dataset: its description, dataset.json, and the check that it is whole. No TensorFlow here."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nightshift.errors import DataError
from nightshift.files import sha256_of
from nightshift.settings import settings, workspace_path
from nightshift.workspace import Workspace

if TYPE_CHECKING:
    from nightshift.data.bucket_shards import BucketShards

SCHEMA_VERSION = 2
MANIFEST_NAME = "dataset.json"

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0)]


class Model(BaseModel):
    """Unknown fields are refused; nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Shard(Model):
    """One TFRecord file."""

    name: Annotated[str, Field(pattern=r"^(train|validation|test)-\d{5,}-of-\d{5,}\.tfrecord$")]
    sha256: Sha256
    bytes: Count
    count: Count


class Split(Model):
    """One split; `class_counts` in the order of the classes, empty when unlabelled."""

    count: Count
    class_counts: list[Count]
    shards: list[Shard]


class SplitStatistics(Model):
    """Figures over the pixels of a split, in units of 0 to 255.

    Attributes:
        mean: of every channel.
        standard_deviation: of every channel.
        brightness: how many images have their mean in each of 32 equal bins of 0 to 256.
        contrast: mean over the images of the standard deviation of an image's pixels.
    """

    mean: list[float]
    standard_deviation: list[float]
    brightness: list[Count]
    contrast: float


class Origin(Model):
    """Where the data came from: the URI as given, and a hash, checksum or version of what it named."""

    uri: str
    identity: str


class QuarantinedImage(Model):
    """An image left out, and why."""

    key: str
    reason: str


class Quarantine(Model):
    """All images left out; the first of them by name."""

    count: Count
    examples: list[QuarantinedImage]


class Duplicates(Model):
    """Images with exactly equal pixels.

    Attributes:
        within_splits: a split -> how many of its images repeat another of them.
        across_splits: how many distinct images occur in more than one split.
        pairs: keys of the first such pairs.
    """

    within_splits: dict[str, Count]
    across_splits: Count
    pairs: list[tuple[str, str]]


class DatasetManifest(Model):
    """What dataset.json holds.

    Datasets are named by content, so `task`, `source` and `quarantined` tell of the first preparation that gave
    this content.
    """

    schema_version: int
    fingerprint: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    task: str
    source: Origin
    seed: int
    classes: list[str]
    image_shape: tuple[int, int, int]
    splits: dict[str, Split]
    statistics: dict[str, SplitStatistics]
    quarantined: Quarantine
    duplicates: Duplicates

    def remarks(self) -> list[str]:
        """What whoever trains on these data should know, a line each; usually none."""
        remarks = []
        if left_out := self.quarantined.count:
            remarks.append(f"{left_out:,} images were left out" if left_out > 1 else "1 image was left out")
        if repeated := self.duplicates.across_splits:
            subject = f"{repeated:,} images occur" if repeated > 1 else "1 image occurs"
            remarks.append(f"{subject} in more than one split, which flatters a model")
        return remarks


def parse_manifest(content: bytes, place: Path | str) -> DatasetManifest:
    """Read a manifest.

    Args:
        content: of dataset.json.
        place: of it, for the error.

    Raises:
        DataError: it is none, or of another schema version.
    """
    try:
        manifest = DatasetManifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DataError(f"{place}: {field}: {first['msg']}") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise DataError(
            f"{place}: schema_version: found {manifest.schema_version}, expected {SCHEMA_VERSION}; prepare again"
        )
    return manifest


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset: shards and their manifest.

    Attributes:
        path: the folder of both; of a dataset in a bucket, a folder of this node with a copy of the manifest alone.
        manifest: what dataset.json holds.
        reused: whether it was there before it was asked for.
        bucket: the way to its shards, if they are in one.
    """

    path: Path
    manifest: DatasetManifest
    reused: bool = False
    bucket: "BucketShards | None" = None

    @classmethod
    def open(cls, place: Path | str, *, reused: bool = False, cache: Path | None = None) -> Self:
        """Read a dataset's manifest and, in a folder, check that its shards are there in their full size.

        Args:
            place: a folder, or gs://BUCKET/PREFIX/FINGERPRINT as a string.
            reused: see the class.
            cache: folder of this node for what comes from a bucket, unless the environment names one; None: that of
                the environment's workspace.

        Raises:
            DataError: no dataset, another schema version, or a shard is missing or of another size.
            StoreError: the bucket does not answer, or not for us.
        """
        if isinstance(place, str) and place.startswith("gs://"):
            return cls.in_bucket(place, _cache(cache), reused=reused)
        path = Path(place)
        file = path / MANIFEST_NAME
        try:
            content = file.read_bytes()
        except FileNotFoundError:
            raise DataError(f"{path}: no prepared dataset; {MANIFEST_NAME} is not there") from None
        dataset = cls(path, parse_manifest(content, file), reused)
        for shard in dataset._shards():
            dataset._check_size(shard)
        return dataset

    @classmethod
    def in_bucket(cls, uri: str, cache: Path, *, reused: bool = False) -> Self:
        """Read the manifest of a dataset at gs://BUCKET/PREFIX/FINGERPRINT.

        Args:
            uri: that.
            cache: folder of this node for what comes from there, whatever the environment says.
            reused: see the class.

        Raises:
            DataError: no dataset, or another schema version.
            StoreError: the bucket does not answer, or not for us, or nothing can be written to `cache`.
        """
        from nightshift.data.bucket_shards import open_in_bucket

        folder, manifest, bucket = open_in_bucket(uri, cache)
        return cls(folder, manifest, reused, bucket)

    @property
    def fingerprint(self) -> str:
        """The hash of the content: two datasets of the same fingerprint are equal, byte for byte."""
        return self.manifest.fingerprint

    @property
    def place(self) -> str:
        """What `open` takes: the folder, or the URI of a dataset in a bucket."""
        return self.bucket.uri if self.bucket else str(self.path)

    def shards(self, split: str) -> list[Path]:
        """The files of a split in their order; of a dataset in a folder.

        Raises:
            DataError: no such split, or the dataset is in a bucket.
        """
        if split not in self.manifest.splits:
            raise DataError(f"split {split!r}: {self.place} has {', '.join(self.manifest.splits)}")
        if self.bucket:
            raise DataError(f"{self.place}: its shards are in a bucket, expected a folder")
        return [self.path / shard.name for shard in self.manifest.splits[split].shards]

    @contextlib.contextmanager
    def local(self, shard: Shard) -> Iterator[Path]:
        """A shard's file on this node, there until the block ends; fetched if it is in a bucket.

        Raises:
            DataError: the object is not there, or not what the manifest says.
            StoreError: the bucket does not answer, or not for us.
        """
        with self.bucket.local(shard) if self.bucket else contextlib.nullcontext(self.path / shard.name) as path:
            yield path

    def verify(self) -> None:
        """Read every shard and compare its hash.

        Raises:
            DataError: a shard's content is not what was written, or cannot be read.
        """
        for shard in self._shards():
            with self.local(shard) as path:
                try:
                    found = sha256_of(path)
                except OSError as error:
                    raise DataError(f"{path}: cannot be read ({error.strerror})") from None
                if found != shard.sha256:
                    raise DataError(f"{path}: found SHA-256 {found}, expected {shard.sha256}")

    def _shards(self) -> list[Shard]:
        return [shard for split in self.manifest.splits.values() for shard in split.shards]

    def _check_size(self, shard: Shard) -> None:
        file = self.path / shard.name
        found = file.stat().st_size if file.is_file() else None
        if found != shard.bytes:
            state = "it is missing" if found is None else f"found {found} bytes"
            raise DataError(f"{file}: {state}, expected {shard.bytes} bytes")


def _cache(given: Path | None) -> Path:
    named = settings().cache
    return Path(named) if named else given or Workspace(workspace_path()).cache
