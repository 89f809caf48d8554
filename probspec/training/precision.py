"""How exact the matrix products of a run are. Densities are computed in float32 whatever is chosen here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LAYERS = (nn.Linear, nn.Conv1d, nn.ConvTranspose1d, nn.Conv2d, nn.ConvTranspose2d)


@contextmanager
def precision(name: str, module: nn.Module, device: torch.device) -> Iterator[None]:
    """Lower the precision inside the block.

    Parameters
    ----------
    name : {"float32", "tf32", "bf16"}
        "tf32" concerns every matrix product on CUDA, "bf16" those of the module's dense and convolution layers.
    module : nn.Module
    device : torch.device
    """
    tf32, before = name == "tf32" and device.type == "cuda", torch.get_float32_matmul_precision()
    layers = [m for m in module.modules() if isinstance(m, LAYERS)] if name == "bf16" else []
    if tf32:
        torch.set_float32_matmul_precision("high")
    for layer in layers:
        _shorten(layer, device)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
        if tf32:
            torch.set_float32_matmul_precision(before)


def _shorten(layer: nn.Module, device: torch.device) -> None:
    """Run a layer in bfloat16, and hand on float32: a density of bfloat16 numbers would be too coarse."""
    forward = layer.forward

    def shortened(x: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return forward(x).float()

    layer.forward = shortened
