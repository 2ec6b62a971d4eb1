"""What is kept of one training."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Figure = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Record(BaseModel):
    """One training, judged.

    Attributes:
        task: its name.
        preset: its name.
        seed: of splits, weights, order and random changes.
        metrics: of the test split, by name.
        count: test examples.
        parameters: of the network.
        epochs: done.
        best_epoch: the one whose weights were judged, chosen on the validation split.
        seconds: of training, without preparation and judging.
        cpu_seconds: of user and system in the same time, all threads.
        key: of the training's recipe.
        dataset: fingerprint of the prepared data.
        sources: SHA-256 of the code that training runs.
        machine: what trained, in words.
        date: of the record, ISO 8601, UTC.
        stale: code, settings or data are no longer those of the record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str
    preset: str
    seed: Count
    metrics: dict[str, Figure]
    count: Annotated[int, Field(ge=1)]
    parameters: Count
    epochs: Count
    best_epoch: Count
    seconds: Figure
    cpu_seconds: Figure
    key: str
    dataset: str
    sources: str
    machine: str
    date: str
    stale: bool = False

    @property
    def name(self) -> str:
        """TASK.PRESET."""
        return f"{self.task}.{self.preset}"


RECORDS = TypeAdapter(list[Record])
