"""What was measured of an input pipeline, in words and for programs. No TensorFlow."""

import math
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from nightshift.benchmark.rates import Rate

ENOUGH = 3.0
"""Times what the training consumes, so that a slow disk or another process does not keep it waiting."""


@dataclass(frozen=True)
class Stage:
    """A stage of the pipeline.

    Attributes:
        name: of it.
        words: what it does.
        rate: of the pipeline up to it; of a stage that stands `once`, of it alone.
        own_microseconds: of one core, an image, that it adds.
        once: done when data arrive, not every epoch.
    """

    name: str
    words: str
    rate: Rate
    own_microseconds: float
    once: bool


@dataclass(frozen=True)
class InputFigures:
    """What was measured; the last stage is the whole pipeline.

    Attributes:
        images: of the training split.
        disk_bytes: of its shards.
        in_memory: it is kept there, else read every epoch.
        stages: in their order.
        resident_before: memory of the process before, bytes.
        resident_peak: at its highest, bytes.
    """

    images: int
    disk_bytes: int
    in_memory: bool
    stages: list[Stage]
    resident_before: int
    resident_peak: int

    @property
    def whole(self) -> Rate:
        """The whole pipeline."""
        return self.stages[-1].rate

    @property
    def disk_bytes_per_image(self) -> float:
        """In the shards."""
        return self.disk_bytes / self.images

    @property
    def microseconds(self) -> float:
        """Of one core, an image of every epoch; from a bucket as if nothing of the last epoch were in the cache."""
        fetched = sum(stage.own_microseconds for stage in self.stages if stage.name == "fetch" and not self.in_memory)
        return fetched + self.whole.cpu_microseconds

    def cores(self, consumes: float) -> float:
        """Cores that are busy when so many images a second are consumed."""
        return consumes * self.microseconds / 1e6

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "images": self.images,
            "in_memory": self.in_memory,
            "disk_bytes_per_image": round(self.disk_bytes_per_image, 1),
            "images_per_second": round(self.whole.per_second, 1),
            "cores_used": round(self.whole.cpu_seconds / self.whole.seconds, 2),
            "cpu_microseconds_per_image": round(self.microseconds, 2),
            "images_per_second_and_core": round(1e6 / self.microseconds, 1),
            "resident_mib": round(self.resident_before / 2**20),
            "resident_peak_mib": round(self.resident_peak / 2**20),
            "stages": [
                {
                    "name": stage.name,
                    "images_per_second": round(stage.rate.per_second, 1),
                    "cpu_microseconds_per_image": round(stage.own_microseconds, 2),
                    "disk_bytes_per_second": round(stage.rate.per_second * self.disk_bytes_per_image),
                    "first_seconds": round(stage.rate.first_seconds, 3),
                }
                for stage in self.stages
            ],
        }


def needs(figures: InputFigures, consumes: float) -> dict[str, Any]:
    """What an accelerator that consumes so many images a second needs."""
    cores = figures.cores(consumes)
    return {
        "consumes": round(consumes, 1),
        "cores": math.ceil(cores),
        "cores_busy": round(cores, 2),
        "ratio": round(figures.whole.per_second / consumes, 2),
        "disk_bytes_per_second": 0 if figures.in_memory else round(consumes * figures.disk_bytes_per_image),
    }


def compared(figures: InputFigures, training: Rate) -> dict[str, Any]:
    """What a training on this machine's cores consumes: beside images a second, in its processor's time an image."""
    return needs(figures, training.per_second) | {
        "cpu_microseconds_per_image": round(training.cpu_microseconds, 1),
        "cpu_ratio": round(training.cpu_microseconds / figures.microseconds, 2),
    }


def print_figures(figures: InputFigures, title: str, console: Console) -> None:
    """A row a stage, and the whole."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    table.add_column("what it does", ratio=1)
    for name in ("CPU \N{MICRO SIGN}s an image", "share", "images/s up to here", "MB/s from disk"):
        table.add_column(name, justify="right")
    every_epoch = sum(stage.own_microseconds for stage in figures.stages if not stage.once)
    for stage in figures.stages:
        share = "once" if stage.once else f"{stage.own_microseconds / every_epoch:.0%}"
        read = stage.once or not figures.in_memory
        speed = f"{stage.rate.per_second * figures.disk_bytes_per_image / 1e6:,.0f}" if read else ""
        table.add_row(
            stage.name, stage.words, f"{stage.own_microseconds:,.2f}", share, f"{stage.rate.per_second:,.0f}", speed
        )
    console.print(table)
    whole = figures.whole
    console.print(
        f"{whole.per_second:,.0f} images a second with {whole.cpu_seconds / whole.seconds:.2f} cores busy; "
        f"{1e6 / figures.microseconds:,.0f} a core; {figures.disk_bytes_per_image:,.0f} bytes an image on disk; "
        f"first batch after {whole.first_seconds:.1f} s; memory {figures.resident_before >> 20:,} MiB before, "
        f"{figures.resident_peak >> 20:,} MiB at its highest",
        highlight=False,
    )


def need_in_words(need: dict[str, Any]) -> str:
    """What an accelerator, or a training here, needs, and whether this machine gives it."""
    enough = "enough" if need["ratio"] >= ENOUGH else f"less than the {ENOUGH:g} times that leave room"
    read = f" and {need['disk_bytes_per_second'] / 1e6:,.1f} MB/s from disk" if need["disk_bytes_per_second"] else ""
    words = (
        f"{need['consumes']:,.0f} images a second take {need['cores_busy']:.2f} cores{read}; this machine delivers "
        f"{need['ratio']:.1f} times as many, {enough}"
    )
    if "cpu_ratio" in need:
        cost = f"{need['cpu_microseconds_per_image']:,.0f} \N{MICRO SIGN}s an image"
        words = (
            f"Training here: {words}. In processor time, which other programs hardly change, it takes {cost}, "
            f"{need['cpu_ratio']:.1f} times the input"
        )
    return words
