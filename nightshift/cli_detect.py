"""`nightshift detect`: what photographs show, drawn into them.

Imports happen inside the command: `--help` takes nothing.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli_serving import json_option
from nightshift.errors import DataError
from nightshift.options import server_option

if TYPE_CHECKING:
    from nightshift.serving.detect import Detected, Detection

SECONDS = 60.0
"""To wait for an answer: a detector takes its time with a large photograph."""


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="PNG file for the picture; a folder if there are several.",
)
@click.option(
    "--score", default=0.5, show_default=True, type=click.FloatRange(0, 1), help="Leave out what has a lower one."
)
@click.option("--most", default=15, show_default=True, type=click.IntRange(1), help="Boxes a photograph.")
@click.option("--model", default="detection", show_default=True)
@server_option
@click.option(
    "--timeout", default=SECONDS, show_default=True, type=click.FloatRange(0.1, 3600), help="Seconds to wait."
)
@json_option
def detect(
    photos: tuple[Path, ...],
    output: Path,
    score: float,
    most: int,
    model: str,
    server: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Draw boxes, names and scores of what a detector finds in each photograph (JPEG or PNG).

    Those refused are told on standard error.
    """
    from nightshift.files import write_atomic
    from nightshift.serving.ask import PictureRefusedError
    from nightshift.serving.client import Client
    from nightshift.serving.detect import detect as ask
    from nightshift.serving.drawing import draw_detections, open_picture, png
    from nightshift.serving.pictures import read_file

    targets = _targets(photos, output)
    refused = False
    with Client(server, timeout=timeout) as client:
        for path, target in zip(photos, targets, strict=True):
            try:
                content = read_file(path)
                picture = open_picture(content, str(path))
                found = ask(client, model, content)
            except (DataError, PictureRefusedError) as error:
                refused = True
                click.echo(f"Error: {error if isinstance(error, DataError) else f'{path}: {error}'}", err=True)
                continue
            kept = found.at_least(score, most)
            write_atomic(target, png(draw_detections(picture, kept)))
            _tell(path, target, found, kept, as_json, f"nothing with a score of {score:g} or more")
    if refused:
        sys.exit(1)


def _tell(
    path: Path, target: Path, found: "Detected", kept: Sequence["Detection"], as_json: bool, nothing: str
) -> None:
    if not as_json:
        for line in map(str, kept) if kept else [nothing]:
            click.echo(f"{path}: {line}")
        return
    facts = {
        "image": str(path),
        "drawn": str(target),
        "detections": [vars(each) for each in kept],
        "version": found.version,
        "milliseconds": found.milliseconds,
    }
    click.echo(json.dumps(facts, ensure_ascii=False))


def _targets(photos: tuple[Path, ...], output: Path) -> list[Path]:
    """Where each picture goes."""
    if len(photos) == 1 and not output.is_dir():
        if output.suffix.lower() != ".png":
            raise click.UsageError(f"-o {output}: expected a file that ends with .png, or a folder that is there")
        if output.resolve() == photos[0].resolve():
            raise click.UsageError(f"-o {output}: is the photograph itself; give another name")
        return [output]
    if output.exists() and not output.is_dir():
        raise click.UsageError(f"-o {output}: found a file, expected a folder for several photographs")
    if len({path.stem for path in photos}) < len(photos):
        raise click.UsageError("two photographs of the same name would be drawn into one file; give them one by one")
    return [output / f"{path.stem}-detected.png" for path in photos]
