"""The interpolatory autoencoder (IAE; Bobin 2023): a curved family of spectra from a few anchors.

An encoder takes spectra to codes. The code of a spectrum is replaced by the nearest barycentric combination of the
anchors' codes,

    sum_k w_k code(anchor_k),    sum_k w_k = 1,

found by least squares in closed form, and decoded. What the decoder makes of all combinations is the family; the
weights of all anchors but the last are its coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from probspec.errors import DataError, explain
from probspec.nets.layers import Scaling, mlp
from probspec.seeding import seeded
from probspec.surrogates.links import LINKS, floors
from probspec.surrogates.options import Convolution, Dense

LAYERS: dict[str, type[Dense] | type[Convolution]] = {"Dense": Dense, "Convolution": Convolution}

BLOCK = 1024
"""Spectra whose derivatives are taken at once."""

RIDGE = 1e-6  # beside the mean squared distance of two anchors' codes


class Autoencoder(nn.Module):
    """A chart of spectra whose coordinates are barycentric weights.

    Parameters
    ----------
    channels, anchors : int
    layers : Dense or Convolution
    """

    kind = "iae"

    def __init__(self, channels: int, anchors: int, layers: Dense | Convolution):
        super().__init__()
        self.layers = layers
        self.scaling = Scaling(channels)
        self.encoder, self.decoder = _dense(channels, layers) if isinstance(layers, Dense) else _conv(channels, layers)
        code = self.encoder(torch.zeros(1, channels)).shape[-1]
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("codes", torch.zeros(anchors, code))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.centre)

    def describe(self) -> str:
        """Say what the chart is, in a few words."""
        return f"interpolatory autoencoder of {len(self.codes)} anchors"

    def architecture(self) -> dict[str, Any]:
        """Plain values from which `build` makes a chart of the same shape."""
        layers = {"layers": type(self.layers).__name__, **asdict(self.layers)}
        return {"kind": self.kind, "channels": self.channels, "anchors": len(self.codes), "layers": layers}

    @classmethod
    def build(cls, architecture: Mapping[str, Any]) -> Autoencoder:
        """Make a chart of the given shape, whose weights are to be loaded."""
        sizes = {name: tuple(values) for name, values in architecture["layers"].items() if name != "layers"}
        layers = LAYERS[architecture["layers"]["layers"]](**sizes)
        with seeded(0):  # the layers draw first weights, which are then replaced
            return cls(architecture["channels"], architecture["anchors"], layers)

    def start(self, spectra: Tensor) -> None:
        """Take the scaling, and a spectrum to start from, of taught spectra (row, channel)."""
        self.scaling.fit(spectra.sqrt())
        self.centre = LINKS["log"].scale(spectra.mean(0), floors(spectra)).to(self.centre)

    def encode(self, spectra: Tensor) -> Tensor:
        """Codes of spectra, (row, code)."""
        return self.encoder(self.scaling(spectra.sqrt()))

    def forward(self, weights: Tensor) -> Tensor:
        """Spectra of unit sum, (..., channel), of weights (..., anchor - 1)."""
        return self.decode(combine(weights.to(self.codes), self.codes)).to(weights)

    def decode(self, codes: Tensor) -> Tensor:
        """Spectra of unit sum of codes (..., code)."""
        scaled = self.decoder(codes.reshape(-1, codes.shape[-1])) + self.centre
        return LINKS["log"].spectrum(scaled, self.centre).reshape(*codes.shape[:-1], -1)

    def push(self, weights: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """Spectra, and their changes (..., direction, channel) with changes of the weights."""
        shape, directions = weights.shape[:-1], change.shape[-2]
        points = weights.reshape(-1, weights.shape[-1]).to(self.codes)
        moves = change.reshape(-1, *change.shape[-2:]).to(self.codes)
        spectra, changes = zip(*map(self._push, points.split(BLOCK), moves.split(BLOCK)), strict=True)
        spectra, changes = torch.cat(spectra).to(weights), torch.cat(changes).to(weights)
        return spectra.reshape(*shape, -1), changes.reshape(*shape, directions, -1)

    def _push(self, points: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
        """Carry the changes through the decoder layer by layer; all layers but the activations are affine."""
        value = combine(points, self.codes)
        change = (moves @ (self.codes[:-1] - self.codes[-1])).flatten(0, 1)
        for layer in self.decoder:
            if isinstance(layer, nn.ELU):
                slope = value.clamp(max=0).exp()
                change = (change.unflatten(0, moves.shape[:2]) * slope.unsqueeze(1)).flatten(0, 1)
            else:
                change = layer(change) - layer(torch.zeros_like(change[:1]))
            value = layer(value)
        return LINKS["log"].push(value + self.centre, change.unflatten(0, moves.shape[:2]), self.centre)


def combine(weights: Tensor, codes: Tensor) -> Tensor:
    """Barycentric combination, (..., code), of anchors' codes (anchor, code) by all weights but the last."""
    return codes[-1] + weights @ (codes[:-1] - codes[-1])


def barycentre(points: Tensor, codes: Tensor) -> Tensor:
    """Weights, all but the last, of the combination nearest to points (row, code), by least squares.

    Examples
    --------
    >>> codes = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    >>> barycentre(torch.tensor([[0.25, 3.0]]), codes).round(decimals=3)
    tensor([[0.7500]])
    """
    edges = codes[:-1] - codes[-1]
    gram = edges @ edges.T
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + ridge, edges @ (points - codes[-1]).T).T


def _dense(channels: int, layers: Dense) -> tuple[nn.Module, nn.Module]:
    sizes = [channels, *layers.widths]
    return mlp(sizes, nn.ELU), mlp(sizes[::-1], nn.ELU, last=0.1)


def _conv(channels: int, layers: Convolution) -> tuple[nn.Module, nn.Module]:
    """Convolutions, and transposed ones that give back each length exactly."""
    depths, lengths = [1, *layers.channels], [channels]
    down, up = [], []
    for (depth, deeper), kernel, stride in zip(pairwise(depths), layers.kernels, layers.strides, strict=True):
        if kernel > lengths[-1]:
            problem = f"{channels} are too few: a kernel of {kernel} meets {lengths[-1]} values"
            raise DataError(explain("channels", problem, fix="IAEOptions(layers=Dense())"))
        spare = (lengths[-1] - kernel) % stride
        lengths.append((lengths[-1] - kernel) // stride + 1)
        down += [nn.Conv1d(depth, deeper, kernel, stride), nn.ELU()]
        up = [nn.ConvTranspose1d(deeper, depth, kernel, stride, output_padding=spare), nn.ELU(), *up]
    last = nn.Unflatten(1, (depths[-1], lengths[-1]))
    encoder = nn.Sequential(nn.Unflatten(1, (1, channels)), *down[:-1], nn.Flatten())
    return encoder, nn.Sequential(last, *up[:-1], nn.Flatten())
