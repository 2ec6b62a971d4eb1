"""`nightshift releases`, `rollback` and `status`: what serves, on a server that shares the store or in a cluster."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from nightshift.options import store_of, target_option, workspace_option
from nightshift.settings import namespace

json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object a line.")


@click.command()
@click.argument("model", default="")
@target_option
@workspace_option
@json_option
def releases(model: str, server: str, workspace: str, as_json: bool) -> None:
    """List the versions of a model, or of every model, and which one serves."""
    from nightshift.serving.overview import store_records

    if name := namespace(server):
        from nightshift.serving.kubernetes import LOOK_SECONDS, kubernetes_serving

        with kubernetes_serving(name, store_of(workspace), patience=LOOK_SECONDS) as serving:
            records = serving.releases(model)
            if not records:
                serving.check_set_up()
                _nothing(name)
    else:
        records = store_records(store_of(workspace), model)
    for record in records:
        if as_json:
            empty = [field for field in ("since", "reason") if not getattr(record, field)]
            click.echo(json.dumps({key: value for key, value in asdict(record).items() if key not in empty}))
            continue
        metrics = ", ".join(f"{key} {value:.4f}" for key, value in record.metrics.items())
        reason = f"  ({record.reason})" if record.reason else ""
        since = f"  {record.since}" if record.since else ""
        click.echo(f"{record.model:12} {record.version}  {record.status:11} {metrics}{since}{reason}")


@click.command()
@click.argument("model")
@click.argument("version", type=int, default=0)
@target_option
@workspace_option
def rollback(model: str, version: int, server: str, workspace: str) -> None:
    """Let an earlier version serve again: the one before, or VERSION."""
    from nightshift.serving.target import target

    with target(server, store_of(workspace)) as serving:
        serving.rollback(model, version, click.echo)


@click.command()
@click.argument("model", default="")
@target_option
@workspace_option
@json_option
def status(model: str, server: str, workspace: str, as_json: bool) -> None:
    """Show what serves, since when, whether its predecessor stands ready, and what was changed by hand."""
    from nightshift.serving.client import Client
    from nightshift.serving.overview import shared_statuses

    if name := namespace(server):
        from nightshift.serving.kubernetes import LOOK_SECONDS, kubernetes_serving

        with kubernetes_serving(name, None, patience=LOOK_SECONDS) as serving:
            found = serving.status(model)
            if not found:
                serving.check_set_up()
                _nothing(name)
                return
    else:
        with Client(server) as client:
            found = shared_statuses(store_of(workspace), client, model)
    if as_json:
        for one in found:
            click.echo(json.dumps(asdict(one)))
        return
    rows = [("MODEL", "ENDPOINT", "VERSION", "READY", "SINCE", "IMAGE", "PREDECESSOR", "HELD BY")]
    for one in found:
        before = f"{one.predecessor} ({'ready' if one.predecessor_ready else 'to be started'})"
        rows.append(
            (
                one.model,
                one.endpoint,
                str(one.version or "-"),
                f"{one.ready}/{one.desired}",
                one.since or "-",
                one.image or "-",
                before if one.predecessor else "-",
                one.holder or "-",
            )
        )
    table(rows)
    for one in found:
        for sentence in one.drift:
            click.echo(f"{one.model}: not as released: {sentence}")


def _nothing(namespace: str) -> None:
    """Say so where programs do not read it as an answer."""
    click.echo(f"nothing is served in namespace {namespace}", err=True)


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of texts in columns, the names of the columns first."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
