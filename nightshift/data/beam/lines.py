"""The few figures that a pipeline hands back: lines of JSON in one file, each a name and a value."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam

from nightshift.data.beam.staging import Staging


def write_lines(values: Iterable[Any], path: str) -> None:
    """Write collections of [name, value] to a file."""
    _ = (
        values
        | f"all of {path}" >> beam.Flatten()
        | f"lines of {path}" >> beam.Map(json.dumps).with_output_types(str)
        | f"write {path}" >> beam.io.WriteToText(path, shard_name_template="")
    )


def read_lines(staging: Staging, name: str) -> Iterator[tuple[str, Any]]:
    """What a pipeline wrote."""
    with staging.open(name) as file:
        for line in file:
            kind, value = json.loads(line)
            yield kind, value
