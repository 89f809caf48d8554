"""The state that a step changes, kept aside: weights, buffers, and what the optimiser remembers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Snapshot:
    """A copy of the state of a module and its optimiser, on their device.

    Parameters
    ----------
    module : nn.Module
    optimiser : torch.optim.Optimizer
        Of parameters of the module.
    """

    def __init__(self, module: nn.Module, optimiser: torch.optim.Optimizer):
        self.module, self.optimiser = module, optimiser
        self.kept: list[Tensor] = []
        self.take()

    @torch.no_grad()
    def take(self) -> None:
        """Keep the state as it is now."""
        tensors = self._tensors()
        if len(tensors) != len(self.kept):
            self.kept = [tensor.clone() for tensor in tensors]
        for kept, tensor in zip(self.kept, tensors, strict=True):
            kept.copy_(tensor)

    @torch.no_grad()
    def restore(self) -> None:
        """Go back to the state that was kept."""
        tensors = self._tensors()
        if len(tensors) != len(self.kept):  # the optimiser had taken no step yet
            self.optimiser.state.clear()
        for kept, tensor in zip(self.kept, tensors, strict=False):
            tensor.copy_(kept)

    def _tensors(self) -> list[Tensor]:
        remembered = [v for p in self.module.parameters() for v in self.optimiser.state.get(p, {}).values()]
        remembered = [value for value in remembered if isinstance(value, Tensor)]
        return [*self.module.parameters(), *self.module.buffers(), *remembered]
