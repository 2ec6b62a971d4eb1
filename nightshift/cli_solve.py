"""`nightshift solve`: pictures of shuffled tiles, put back in order.

Imports happen inside the command: `--help` takes nothing.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli_serving import json_option
from nightshift.errors import DataError
from nightshift.options import images_argument, server_option, timeout_option

if TYPE_CHECKING:
    import numpy as np

    from nightshift.serving.client import Client


@click.command()
@images_argument
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the solved pictures.")
@click.option("--shuffle", is_flag=True, help="Cut the pictures and shuffle the tiles first.")
@click.option("--seed", type=click.IntRange(0), help="Of the shuffling; another one every time if not given.")
@click.option("--model", default="puzzle", show_default=True)
@server_option
@timeout_option
@json_option
def solve(
    images: tuple[Path, ...],
    output: Path,
    shuffle: bool,
    seed: int | None,
    model: str,
    server: str,
    timeout: float,
    as_json: bool,
) -> None:
    """Put pictures of shuffled tiles (JPEG or PNG) back in order, at their full size (their central square).

    Those refused are told on standard error.
    """
    import numpy as np

    from nightshift.serving.ask import puzzle_size
    from nightshift.serving.client import Client

    if len({path.stem for path in images}) < len(images):
        raise click.UsageError("two pictures of the same name would be solved into one file; give them in two commands")
    random = np.random.default_rng(seed)
    refused = False
    with Client(server, timeout=timeout) as client:
        _, grid = puzzle_size(client, model)
        for path in images:
            # Drawn for every picture, so that one which is refused changes nothing for those after it.
            truth = random.permutation(grid * grid) if shuffle else None
            try:
                facts = _solved(client, model, path, output, truth, grid)
            except DataError as error:
                refused = True
                click.echo(f"Error: {error}", err=True)
                continue
            click.echo(json.dumps(facts) if as_json else _in_words(facts))
    if refused:
        sys.exit(1)


def _solved(
    client: "Client", model: str, path: Path, output: Path, truth: "np.ndarray | None", grid: int
) -> dict[str, Any]:
    """Ask about one picture and write the answer; `truth` int [N] shuffles its N tiles first."""
    from nightshift.files import write_atomic
    from nightshift.serving.ask import solve as ask
    from nightshift.serving.pictures import open_square, png, rearrange

    original = open_square(path, grid)
    picture = original if truth is None else rearrange(original, truth)
    if truth is not None:
        write_atomic(output / f"{path.stem}-shuffled.png", png(picture))
    answer = ask(client, model, picture)
    target = output / f"{path.stem}-solved.png"
    write_atomic(target, png(answer.picture))
    facts = {
        "image": str(path),
        "solved": str(target),
        "permutation": answer.permutation,
        "probability": answer.probability,
        "shuffled_probability": answer.shuffled_probability,
        "version": answer.version,
        "milliseconds": answer.milliseconds,
    }
    if truth is not None:  # right by its pixels, not by its permutation: tiles may be equal
        facts |= {"truth": truth.tolist(), "right": bool((answer.picture == original).all())}
    return facts


def _in_words(facts: dict[str, Any]) -> str:
    right = "" if "right" not in facts else ", right" if facts["right"] else ", wrong"
    return (
        f"{facts['image']}: slots hold tiles {facts['permutation']} ({facts['probability']:.1%}{right}); shuffled: "
        f"{facts['shuffled_probability']:.1%}; {facts['solved']}"
    )
