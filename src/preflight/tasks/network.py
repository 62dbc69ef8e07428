"""The user's model between the normalizers of its inputs and the units of its targets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from preflight.core.errors import TaskError
from preflight.tasks.data import Batch
from preflight.tasks.target_normalizer import TargetNormalizer


class Network(nn.Module):
    """Normalizers in front of the user's model, and behind it what gives targets their units back.

    Called with a batch. ``units`` is by the name of an output, None where the model gives but one.
    """

    def __init__(
        self,
        model: nn.Module,
        normalizers: Mapping[str, nn.Module],
        inputs: tuple[str, ...],
        units: Mapping[str | None, TargetNormalizer],
    ) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.normalizers = nn.ModuleList([normalizers.get(name, nn.Identity()) for name in inputs])
        self._units = dict(units)
        self._held = nn.ModuleList(self._units.values())  # moves with the model

    def forward(self, batch: Batch) -> Any:
        """Call the model with the normalized input fields, in their order; the output has the targets' own units."""
        fields = zip(self.inputs, self.normalizers, strict=True)
        output = self.model(*(normalizer(batch[name]) for name, normalizer in fields))
        for name, normalizer in self._units.items():
            chosen = output if name is None else output[name]
            if not isinstance(chosen, Tensor):
                raise TaskError(f"the output of a normalized target must be a tensor, got {type(chosen).__name__}")
            output = normalizer.inverse(chosen) if name is None else {**output, name: normalizer.inverse(chosen)}
        return output

    def trained_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of the user's model by their own names, then those of the normalizers."""
        yield from self.model.named_parameters()
        for name, normalizer in zip(self.inputs, self.normalizers, strict=True):
            for inner, parameter in normalizer.named_parameters():
                yield f"normalizer.{name}.{inner}", parameter
