"""The content of architecture.json as the report reads it."""

from pydantic import BaseModel, Field, model_validator

MOST_LAYERS = 500


class Layer(BaseModel):
    """One use of a layer.

    Attributes:
        name: of the layer.
        type: its class.
        settings: name -> value in words, those that differ from what goes without saying.
        output_shape: without the batch; None where a size is open.
        parameters: 0 where an earlier use has counted them.
        inputs: places of the layers whose outputs it takes, all before its own.
        again: whether an earlier use has the same weights.
        output: whether the network answers with it.
    """

    name: str
    type: str
    settings: dict[str, str]
    output_shape: list[int | None]
    parameters: int
    inputs: list[int]
    again: bool
    output: bool

    @property
    def shape(self) -> str:
        """`28 x 28 x 32` with true signs; `?` for a size that is open."""
        return "\u00d7".join("?" if size is None else str(size) for size in self.output_shape)


class Network(BaseModel):
    """A network's layers in the order of their use; `left_out` is how many follow those that are listed."""

    name: str
    parameters: int
    layers: list[Layer] = Field(max_length=MOST_LAYERS)
    left_out: int

    @model_validator(mode="after")
    def _in_order(self) -> "Network":
        for place, layer in enumerate(self.layers):
            if not all(0 <= earlier < place for earlier in layer.inputs):
                raise ValueError(f"layer {place}: inputs {layer.inputs}, expected places before its own")
        return self
