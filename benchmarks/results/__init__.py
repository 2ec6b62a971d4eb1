"""Trains, judges and writes down every task and preset of docs/results.md.

    python -m benchmarks.results DATA

`rows` is what is measured, `measure` does one of them, `records` keeps what was found, `page` makes Markdown of it.
"""
