"""What a task is whose model somebody else has trained: which signature it has, and what that answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Tensor:
    """A dtype's name, such as `float32` or `string`, and the sizes: None where any will do, or for any rank."""

    dtype: str
    shape: Shape | None

    def __str__(self) -> str:
        """For people: float32 [1, None, 4]."""
        if self.shape is None:
            return f"{self.dtype} of any shape"
        return f"{self.dtype} [{', '.join(map(str, self.shape))}]"

    def fits(self, wanted: Shape) -> bool:
        """Whether the sizes can be these."""
        if self.shape is None:
            return True
        pairs = zip(self.shape, wanted, strict=False)
        return len(self.shape) == len(wanted) and all(a is None or b is None or a == b for a, b in pairs)


@dataclass(frozen=True, kw_only=True)
class ImportedTask:
    """One thing that published models do. Their input is one image: [1 or None, H, W, 3], float32 (0 to 1) or uint8.

    Attributes:
        name: lower case, digits and '_'; also the default name of the served model.
        summary: one line for people.
        signatures: names under which it is published, the most wanted first.
        outputs: what it has to answer for one image; a model may have all of them with a batch of one around.
        numbered: an output of names -> the output with numbers that takes its place where a model has no names.
        examples: sources that are always there.
    """

    name: str
    summary: str
    signatures: tuple[str, ...]
    outputs: Mapping[str, Tensor]
    numbered: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
