"""What comes out of a model's modules and activation functions, call by call, while a batch passes through."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

# Calls that are told apart: a recurrent cell may be called a thousand times, and its first calls tell enough.
MAX_SIGNALS = 400
MAX_CALLS = 8
# Values of one output that are looked at; of a larger one rows from all over it.
MAX_VALUES = 2**21
# A value this close to where the function is flat passes on less than a tenth of the gradient (tanh: 1 - 0.97^2).
TANH_FLAT, SIGMOID_FLAT = 0.97, 0.03

_FUNCTIONS = {
    "ReLU": (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
    "Tanh": (F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_),
    "Sigmoid": (F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_),
    "Hardtanh": (F.hardtanh, F.hardtanh_),
    "ReLU6": (F.relu6,),
    "LeakyReLU": (F.leaky_relu, F.leaky_relu_),
    "ELU": (F.elu, F.elu_),
    "SELU": (F.selu, F.selu_),
    "GELU": (F.gelu,),
    "SiLU": (F.silu,),
    "Softplus": (F.softplus,),
}
ACTIVATIONS: Mapping[Callable[..., Any], str] = {item: name for name, items in _FUNCTIONS.items() for item in items}
_FLAT: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Tanh": lambda values: values.abs() > TANH_FLAT,
    "Softsign": lambda values: values.abs() > TANH_FLAT,
    "Hardtanh": lambda values: values.abs() >= 1,
    "Sigmoid": lambda values: (values < SIGMOID_FLAT) | (values > 1 - SIGMOID_FLAT),
    "Hardsigmoid": lambda values: (values <= 0) | (values >= 1),
}


@dataclass
class Signal:
    """Statistics of one module's output ``[N, U]``, N samples and positions by U units, over all batches so far."""

    module: str
    type: str
    weighted: bool
    count: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros(()))
    spread: Tensor = field(default_factory=lambda: torch.zeros(()))
    zeros: float = 0.0
    flat: float | None = None
    alive: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.bool))
    gradient: Tensor | None = None

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Take in ``values[N, U]``; mean and sum of squares about it are merged as by Chan et al. (1979)."""
        values = values.detach().to("cpu", torch.float64)
        count, mean = len(values), values.mean(dim=0)
        if self.count and mean.shape != self.mean.shape:
            return  # an output whose width depends on the batch
        spread = (values - mean).square().sum(dim=0)
        total, shift = self.count + count, mean - self.mean
        self.mean = self.mean + shift * count / total
        self.spread = self.spread + spread + shift.square() * self.count * count / total
        self.zeros += float((values == 0).double().mean()) * count
        self.alive = self.alive | (values != 0).any(dim=0)
        if self.type in _FLAT:
            self.flat = (self.flat or 0.0) + float(_FLAT[self.type](values).double().mean()) * count
        self.count = total

    def facts(self) -> dict[str, Any]:
        """As JSON has them; what is not finite or was not seen is left out."""
        deviation = self.spread / max(self.count, 1)
        units = self.alive.numel()
        numbers = {
            "mean": float(self.mean.mean()),
            "std": float((deviation + (self.mean - self.mean.mean()).square()).mean().sqrt()),
            "sample_std": float(deviation.mean().sqrt()) if self.count > 1 else float("nan"),
            "zeros": self.zeros / self.count,
            "saturated": float("nan") if self.flat is None else self.flat / self.count,
            "gradient_std": float("nan") if self.gradient is None else float(self.gradient),
        }
        counts = {"dead_units": units - int(self.alive.sum()), "units": units, "samples": self.count}
        told = {"module": self.module, "type": self.type, "weighted": self.weighted}
        return told | {key: value for key, value in numbers.items() if abs(value) < float("inf")} | counts


class Watch(TorchFunctionMode):
    """Sees every module's output and every call of an activation function inside its block, in their order.

    Calls are told apart by their number, so that one module used in five places is five signals. A module is looked
    at where it called no other. What a model computes by other functions of torch shows in the modules that follow.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.signals: dict[tuple[str, int], Signal] = {}
        named = {module: name.replace("_orig_mod.", "") for name, module in model.named_modules()}
        # Weights that are computed are no signals, and scripted modules cannot be watched.
        self._names = {
            module: name
            for module, name in named.items()
            if "parametrizations" not in name.split(".") and not isinstance(module, torch.jit.ScriptModule)
        }
        self._calls: Counter[str] = Counter()
        self._open: list[tuple[str, bool]] = []
        self._is_leaf = True
        self._is_convolution = False
        self._hooks = ExitStack()

    def __enter__(self) -> Watch:
        self._calls.clear()
        self._is_convolution = False
        for module in self._names:
            for hook in (
                module.register_forward_pre_hook(self._enter),
                module.register_forward_hook(self._leave),
            ):
                self._hooks.callback(hook.remove)
        super().__enter__()  # type: ignore[no-untyped-call]  # torch has no types here
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # torch has no types here
        self._hooks.close()
        self._open.clear()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch; what an activation function gives is looked at."""
        result = function(*args, **(kwargs or {}))
        if function in ACTIVATIONS and self._open and not self._open[-1][1]:
            place = self._open[-1][0]
            name = f"{place}.{function.__name__}()" if place else f"{function.__name__}()"
            self._see(name, ACTIVATIONS[function], False, result)
        return result

    def _enter(self, module: nn.Module, _args: Any) -> None:
        # What an activation module calls inside is that module's own output.
        self._open.append((self._names[module], type(module).__module__ == nn.ReLU.__module__))
        self._is_leaf = True

    def _leave(self, module: nn.Module, _args: Any, output: Any) -> None:
        self._open.pop()
        is_leaf, self._is_leaf = self._is_leaf, False
        weighted = is_parametrized(module) or any(item.ndim > 1 for item in module.parameters(recurse=False))
        if is_leaf and (tensor := _tensor(output)) is not None:
            if weighted or isinstance(module, nn.modules.batchnorm._NormBase):
                self._is_convolution = isinstance(module, nn.modules.conv._ConvNd | nn.modules.batchnorm._NormBase)
            self._see(self._names[module] or type(module).__name__, type(module).__name__, weighted, tensor)

    def _see(self, name: str, kind: str, weighted: bool, output: Tensor) -> None:
        with torch._C.DisableTorchFunction():
            self._take(name, kind, weighted, output)

    def _take(self, name: str, kind: str, weighted: bool, output: Tensor) -> None:
        self._calls[name] += 1
        key = name, self._calls[name]
        is_new = key not in self.signals
        if key[1] > MAX_CALLS or (is_new and len(self.signals) >= MAX_SIGNALS) or not output.numel():
            return
        if is_new:
            label = name if key[1] == 1 else f"{name} (call {key[1]})"
            self.signals[key] = Signal(label, kind, weighted)
        signal = self.signals[key]
        signal.add(self._by_unit(output))
        if is_new and output.requires_grad:
            output.register_hook(partial(_keep_gradient, signal))

    def _by_unit(self, output: Tensor) -> Tensor:
        """``output`` as ``[N, U]``: units on the second axis after a convolution or batch norm, else on the last."""
        if output.ndim < 2:
            return output.reshape(-1, 1)
        moved = output.movedim(1, -1) if self._is_convolution else output
        values = moved.reshape(-1, moved.shape[-1])
        return values[:: -(-values.numel() // MAX_VALUES)]


def _keep_gradient(signal: Signal, gradient: Tensor) -> None:
    signal.gradient = gradient.detach().double().square().mean().sqrt()


def _tensor(output: Any) -> Tensor | None:
    """The output, or the first of several, where it holds real numbers."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        output = next((item for item in output if isinstance(item, Tensor)), None)
    return output if isinstance(output, Tensor) and output.is_floating_point() else None
