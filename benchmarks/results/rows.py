"""What is measured: a task, a preset and its data; what the tutorial prints of it; what ours has to reach."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MNIST = "mnist.npz"
FASHION = "fashion_mnist.npz"
CATS_AND_DOGS = "cats_and_dogs_filtered.zip"
HANDS = "rock_paper_scissors.zip"
CIFAR_10 = "cifar10_images.zip"


@dataclass(frozen=True, kw_only=True)
class Printed:
    """What a tutorial prints of its own training, in its words where they are not plain numbers.

    Attributes:
        figures: metric -> as printed.
        where: what it is a figure of.
        parameters: of its network.
        epochs: as printed.
        seconds: as printed.
    """

    figures: Mapping[str, str] = field(default_factory=dict)
    where: str = ""
    parameters: int | None = None
    epochs: str = ""
    seconds: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table.

    Attributes:
        task: its name.
        preset: its name; all but `default` are a tutorial's network and settings.
        data: file in the folder of data.
        printed: what the tutorial prints, if it prints anything.
        at_least: metric -> what it has to be at least.
        parameters_at_most: how many the network may have.
        minutes: of training on two cores, roughly; quick rows are measured first.
    """

    task: str
    preset: str
    data: str
    printed: Printed | None = None
    at_least: Mapping[str, float] = field(default_factory=dict)
    parameters_at_most: int | None = None
    minutes: float

    @property
    def name(self) -> str:
        """TASK.PRESET."""
        return f"{self.task}.{self.preset}"


ROWS = (
    Row(task="digits", preset="blog", data=MNIST, minutes=3),
    Row(task="digits", preset="mnist_cnn", data=MNIST, minutes=4),
    Row(
        task="digits",
        preset="default",
        data=MNIST,
        at_least={"accuracy": 0.995},
        parameters_at_most=100_000,
        minutes=15,
    ),
    Row(
        task="fashion",
        preset="blog",
        data=FASHION,
        printed=Printed(
            figures={"accuracy": "0.9105"},
            where="on the test split",
            parameters=333_526,
            epochs="9, best 7",
            seconds="37 to 39 an epoch",
        ),
        minutes=6,
    ),
    Row(task="fashion", preset="mnist_cnn", data=FASHION, minutes=5),
    Row(
        task="fashion",
        preset="default",
        data=FASHION,
        at_least={"accuracy": 0.945},
        parameters_at_most=333_526,
        minutes=90,
    ),
    Row(task="digits_parity", preset="blog", data=MNIST, minutes=5),
    Row(
        task="digits_parity",
        preset="default",
        data=MNIST,
        at_least={"accuracy": 0.985, "parity_accuracy": 0.99},
        minutes=15,
    ),
    Row(
        task="cats_vs_dogs",
        preset="blog",
        data=CATS_AND_DOGS,
        printed=Printed(
            figures={"accuracy": "about 0.70"},
            where="on the validation folder, which is the test split here",
            parameters=10_641_441,
            epochs="15",
        ),
        minutes=6,
    ),
    Row(
        task="cats_vs_dogs",
        preset="blog_dropout",
        data=CATS_AND_DOGS,
        printed=Printed(where="accuracy only as a curve", parameters=10_641_441, epochs="15"),
        minutes=8,
    ),
    Row(
        task="cats_vs_dogs",
        preset="default",
        data=CATS_AND_DOGS,
        at_least={"accuracy": 0.87},
        parameters_at_most=1_000_000,
        minutes=90,
    ),
    Row(task="rock_paper_scissors", preset="blog", data=HANDS, minutes=1),
    Row(task="rock_paper_scissors", preset="default", data=HANDS, at_least={"accuracy": 0.99}, minutes=4),
    Row(
        task="puzzle",
        preset="blog",
        data=CIFAR_10,
        printed=Printed(
            figures={"per_position": "0.7578 (training split), 0.7753 (its repository, test split)"},
            where="of the last epoch",
            parameters=194_832,
            epochs="20",
            seconds="109 an epoch",
        ),
        minutes=7,
    ),
    Row(task="puzzle", preset="default", data=CIFAR_10, at_least={"exact": 0.99}, minutes=4),
    Row(task="puzzle_3x3", preset="default", data=CIFAR_10, minutes=20),
)
