"""Latency and throughput of the model server, over gRPC and REST, with batching and without.

    python -m benchmarks.serving
    python -m benchmarks.serving --quick
    python -m benchmarks.serving --target HOST:PORT --target-rest HOST:PORT

Beside it stand the bare Session in a loop, a minimal grpcio server over the same Session, one that runs nothing, and
any TensorFlow Serving that serves the same model (`python -m benchmarks.serving.model FOLDER`). Every case is measured
in turn, several times; the table has medians, the ratios are medians of the ratios of each turn.
"""

import contextlib
import os
import platform
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click

from benchmarks.serving.measure import ROOT, Case, Measured, Server, as_json, measure_all, workers
from benchmarks.serving.model import MODEL, PRESET
from benchmarks.serving.page import budget, ratios, table
from nightshift.files import write_atomic, write_json
from nightshift.options import InWords
from nightshift.serving.process import running_server

BATCHING = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 5000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 1 }
allowed_batch_sizes: [1, 2, 4, 8, 16, 32, 64]
"""
"""TensorFlow prepares a convolution anew for every size that it has not seen, on every thread: few sizes are best."""

BATCHES, CLIENTS = (1, 8, 32), (1, 8, 64)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(cls=InWords)
@click.option("--quick", is_flag=True, help="Fractions of a second, once: whether it works, no figures.")
@click.option("--seconds", default=2.0, show_default=True, help="Of every measurement.")
@click.option("--repetitions", default=5, show_default=True, type=click.IntRange(1))
@click.option("--preset", default=PRESET, show_default=True, help="Of the task digits: which network.")
@click.option("--headline", is_flag=True, help="Only what the two ratios and the budget of time need.")
@click.option("--target", metavar="HOST:PORT", help="A TensorFlow Serving with the same model, over gRPC.")
@click.option("--target-rest", metavar="HOST:PORT", help="The same one over REST.")
@click.option("--model-name", default=MODEL, show_default=True, help="The model's name, at --target too.")
@click.option("--json", "json_file", type=_FILE, help="Write every measurement here.")
@click.option("--markdown", "markdown_file", type=_FILE, help="Write the tables here too.")
def main(
    quick: bool,
    seconds: float,
    repetitions: int,
    preset: str,
    headline: bool,
    target: str | None,
    target_rest: str | None,
    model_name: str,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Measure how fast the model server answers."""
    foreign = {way: where for way, where in (("grpc", target), ("rest", target_rest)) if where}
    if quick:
        seconds, repetitions = 0.3, 1
    with tempfile.TemporaryDirectory() as folder:
        base = written(Path(folder), preset)
        with workers(base / "1") as (bare, clients), _servers(base, Path(folder), model_name) as own:
            servers = own | ({"target": Server(foreign)} if foreign else {})
            results = measure_all(
                _cases(servers, quick, headline),
                servers,
                bare,
                clients,
                model=model_name,
                seconds=seconds,
                repetitions=repetitions,
                told=lambda words: print(words, file=sys.stderr),
            )
    _tell(results, preset, seconds, repetitions, json_file, markdown_file)


def written(folder: Path, preset: str) -> Path:
    """The model, written by a process of its own: this one needs no TensorFlow."""
    command = [sys.executable, "-m", "benchmarks.serving.model", str(folder), preset]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"the model could not be written:\n{done.stderr}")
    return folder / MODEL


@contextlib.contextmanager
def _servers(base: Path, folder: Path, name: str) -> Iterator[Mapping[str, Server]]:
    """Ours with and without batching, the minimal one, and one that runs nothing."""
    file = folder / "batching.config"
    file.write_text(BATCHING)
    ours = ["-m", "nightshift.serving.embedded", "--port=0", f"--model_name={name}", f"--model_base_path={base}"]
    minimal = ["-m", "benchmarks.serving.minimal", str(base / "1")]
    commands = {
        "nightshift": ours,
        "nightshift, batching": [*ours, "--enable_batching", f"--batching_parameters_file={file}"],
        "minimal grpcio": minimal,
        "null grpcio": [*minimal, "--null"],
    }
    with contextlib.ExitStack() as stack:
        servers = {}
        for server, command in commands.items():
            targets, flags = {}, []
            if command[1] == "nightshift.serving.embedded":
                port = free_port()
                targets, flags = {"rest": f"127.0.0.1:{port}"}, [f"--rest_api_port={port}"]
            process = stack.enter_context(running_server([*command, *flags]))
            servers[server] = Server({"grpc": process.target, **targets}, process.pid)
        yield servers


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _cases(servers: Mapping[str, Server], quick: bool, headline: bool) -> Sequence[Case]:
    few = [
        Case("bare Session", "session", 1, 1),
        Case("bare Session", "session", 1, 8),
        Case("null grpcio", "grpc", 1, 8),
        Case("minimal grpcio", "grpc", 1, 8),
        Case("nightshift", "grpc", 1, 8),
        Case("nightshift, batching", "grpc", 1, 64),
    ]
    if headline:
        return few
    batches, clients = ((1, 8), (1, 8)) if quick else (BATCHES, CLIENTS)
    cases = dict.fromkeys(few)
    cases |= dict.fromkeys(Case("bare Session", "session", batch, threads) for batch in batches for threads in (1, 8))
    cases |= dict.fromkeys(
        Case(name, way, batch, count)
        for name, server in servers.items()
        if name != "null grpcio"
        for way in server.targets
        for batch in batches
        for count in clients
    )
    return list(cases)


def _tell(
    results: Sequence[Measured],
    preset: str,
    seconds: float,
    repetitions: int,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    found = list(ratios(results))
    lines = [f"{machine}; network digits.{preset}; {repetitions} times {seconds:g} s, medians.", "", table(results), ""]
    lines += [
        f"- {words}: {ratio:.2f} of the minimal grpcio server (at least {least:g})" for words, ratio, least in found
    ]
    page = "\n".join([*lines, "", budget(results)]).rstrip() + "\n"
    print(page)
    if markdown_file:
        write_atomic(markdown_file, page.encode())
    if json_file:
        told = [{"words": words, "ratio": ratio, "at_least": least} for words, ratio, least in found]
        write_json(json_file, {"machine": machine, "preset": preset, "measured": as_json(results), "ratios": told})
    if failed := [result for result in results if result.errors]:
        sys.exit(f"error: {sum(r.errors for r in failed)} requests failed, such as {failed[0].first_error}")


if __name__ == "__main__":
    main()
