"""What a case is, and what came of it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from nightshift.serving.conformance.server import Server


class Need(enum.Enum):
    """What a case needs besides the gRPC port; the value says what to do when it is missing."""

    REST = "no REST port was named: --rest HOST:PORT"
    FOLDER = "the models' folder is not shared: --models DIR"
    POLLING = "no server that follows its configuration file was named: --polling HOST:PORT"
    EMBEDDED = "TensorFlow Serving does otherwise here, by its design; this is ours alone"


@dataclass(frozen=True)
class Case:
    """One thing that a server has to do.

    Attributes:
        number: 1 to 25 are those of the list that the embedded server was built by; the others came later.
        name: in words.
        source: where TensorFlow Serving does it.
        needs: what it cannot be run without.
        run: raises DifferenceError when the server does otherwise.
    """

    number: int
    name: str
    source: str
    needs: tuple[Need, ...]
    run: Callable[[Server], None]

    @property
    def expected(self) -> str:
        """What the server has to do, in a sentence."""
        return " ".join((self.run.__doc__ or "").split())


class Status(enum.Enum):
    """What came of a case."""

    PASSED = "passed"
    DIFFERS = "differs"
    SKIPPED = "skipped"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Outcome:
    """A case, what came of it, why, and how long it took."""

    case: Case
    status: Status
    detail: str
    seconds: float


class Cases:
    """A list of cases, filled by decorating functions."""

    def __init__(self) -> None:
        self.all: list[Case] = []

    def __call__(
        self, number: int, source: str, *needs: Need
    ) -> Callable[[Callable[[Server], None]], Callable[[Server], None]]:
        """Decorates the function that is the case; its name is the case's, its docstring what is expected."""

        def register(run: Callable[[Server], None]) -> Callable[[Server], None]:
            self.all.append(Case(number, run.__name__.replace("_", " "), source, needs, run))
            return run

        return register
