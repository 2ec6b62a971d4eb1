"""`nightshift drift`: do live requests still look like what the serving version was validated on? No TensorFlow."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli_serving import json_option, table
from nightshift.options import store_of, target_option, workspace_of, workspace_option

if TYPE_CHECKING:
    from nightshift.drift.check import Drift

DRIFTED = 3


@click.command()
@click.argument("model")
@click.option(
    "--samples",
    default="",
    metavar="PLACE",
    help="Folder or gs://BUCKET/PREFIX.  [default: $NIGHTSHIFT_SAMPLES or samples/ in the workspace]",
)
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write a page, too.")
@target_option
@workspace_option
@json_option
def drift(model: str, samples: str, output: Path | None, server: str, workspace: str, as_json: bool) -> None:
    """Compare sampled live requests of MODEL with what the version that serves was validated on.

    Exit code 0: no drift, or nothing that could be compared; 3: drift; 1: an error. A puzzle solver is asked to solve
    single tiles of served pictures, whose order is certain. See docs/drift.md for how requests are sampled.
    """
    from nightshift.drift.check import asker, live_drift
    from nightshift.errors import ConfigurationError
    from nightshift.files import write_atomic
    from nightshift.serving.client import Client
    from nightshift.serving.samples import samples_place
    from nightshift.serving.target import target

    store = store_of(workspace)
    with target(server, store) as serving:
        version = serving.champion(model)
        if not version:
            raise ConfigurationError(f"model {model!r}: nothing serves by that name at {server}")
        place = samples or samples_place(workspace_of(workspace).root)
        with Client(serving.address(model)) as client:
            found = live_drift(
                place, model, version, store.version_path(model, version), ask=asker(client, model, version)
            )
    if output:
        from nightshift.report.pages import drift_page

        write_atomic(output, drift_page(found.facts(plots=True), model).encode())
    if as_json:
        click.echo(json.dumps({"model": model, **found.facts()}))
    else:
        _tell(model, found)
    sys.exit(DRIFTED if found.drifted else 0)


def _tell(model: str, found: "Drift") -> None:
    for note in found.notes:
        click.echo(note)
    if found.comparison is not None and found.comparison.changes:
        rows: list[tuple[str, ...]] = [("", "FIGURE", "REFERENCE", "NOW", "DIFFERENCE", "TOLERATED", "P")]
        for change in found.comparison.changes:
            means = ("-" if value is None else f"{value:.4g}" for value in (change.before, change.after))
            effect, limit = f"{change.effect:.2f}", f"{change.measure} {change.limit:g}"
            drifted = "drifted" if change.drifted else ""
            rows.append((drifted, change.name.replace("_", " "), *means, effect, limit, f"{change.p:.2g}"))
        table(rows)
    click.echo(f"{model} version {found.version}: {found.words}")
