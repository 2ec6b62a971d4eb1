"""Measurements as Markdown: a table of them all, and the ratios that matter."""

import statistics
from collections.abc import Iterator, Sequence

from benchmarks.serving.measure import Case, Measured

MINIMAL = Case("minimal grpcio", "grpc", 1, 8)
RATIOS = (
    ("the model server, 8 clients, 1 image a request", Case("nightshift", "grpc", 1, 8), MINIMAL, 0.9),
    ("with batching, 64 requests in flight", Case("nightshift, batching", "grpc", 1, 64), MINIMAL, 1.5),
)
"""What is compared, with what, and the ratio that it has to reach."""


def table(results: Sequence[Measured]) -> str:
    """A row a case, medians over the repetitions."""
    columns = ("asked", "way", "images a request", "clients", "requests/s", "images/s", "p50 ms", "p99 ms")
    lines = [
        f"| {' | '.join([*columns, 'server CPU us', 'failed'])} |",
        f"| --- | --- | {' | '.join(['---:'] * 8)} |",
    ]
    for result in results:
        case, rate = result.case, result.median("rates")
        cpu = f"{result.median('server_cpu'):,.0f}" if result.server_cpu else ""
        lines.append(
            f"| {case.server} | {case.way} | {case.batch} | {case.clients} | {rate:,.0f} | {rate * case.batch:,.0f} "
            f"| {result.median('p50'):.2f} | {result.median('p99'):.2f} | {cpu} | {result.errors} |"
        )
    return "\n".join(lines)


def ratios(results: Sequence[Measured]) -> Iterator[tuple[str, float, float]]:
    """Words, the median of the ratios of each repetition, and what it has to be at least."""
    known = {result.case: result for result in results}
    for words, case, base, least in RATIOS:
        if case in known and base in known and known[case].rates and known[base].rates:
            pairs = zip(known[case].rates, known[base].rates, strict=False)
            yield words, statistics.median(mine / its for mine, its in pairs), least


def budget(results: Sequence[Measured]) -> str:
    """Where the bare Session's rate goes: processor time a request, 8 clients and one image a request."""
    known = {result.case: result for result in results}
    bare, null = Case("bare Session", "session", 1, 8), Case("null grpcio", "grpc", 1, 8)
    served = Case("nightshift", "grpc", 1, 8)
    if not {bare, null, MINIMAL, served} <= known.keys():
        return ""
    session, grpc = known[bare].median("client_cpu"), known[null].median("server_cpu")
    clients = known[served].median("client_cpu")
    lines = ["| processor time a request | us |", "| --- | ---: |"]
    rows = {
        "the Session alone, 8 threads": session,
        "gRPC in the server, without a Session (null grpcio)": grpc,
        "both together and converting tensors (minimal grpcio)": known[MINIMAL].median("server_cpu"),
        "the model server": known[served].median("server_cpu"),
        "a client": clients,
    }
    return "\n".join([*lines, *(f"| {words} | {value:,.0f} |" for words, value in rows.items())])
