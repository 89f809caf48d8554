"""Spectra of one or more modalities as blocks of features for regression.

A block is the spectra of one modality. Blocks are looked at through views, centred, scaled to unit variance, joined,
and rotated to as many columns as there are training rows. Rows without a spectrum or without a label are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from probspec.errors import DataError, explain, known
from probspec.nets.views import View

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Preprocessing:
    """Views of the modalities, centred, scaled as blocks, joined, and rotated to as many columns as there are rows.

    The rotation keeps the inner products of the training rows, so ridge, PLS and nearest neighbours answer as if they
    saw every channel, and fast. Rotation, means and scales are taken from spectra alone, never from targets.
    """

    views: Mapping[str, View]
    channels: Mapping[str, int]
    means: Mapping[str, Array]
    scales: Mapping[str, float]
    rotation: Array

    @classmethod
    def of(cls, blocks: Mapping[str, Array], views: Sequence[View]) -> Preprocessing:
        """Prepare for training spectra, one view a modality."""
        by_name = dict(zip(blocks, views, strict=True))
        seen = {name: _look(by_name[name], x) for name, x in blocks.items()}
        means = {name: x.mean(0) for name, x in seen.items()}
        scales = {name: float(np.sqrt(x.var(0).sum())) or 1.0 for name, x in seen.items()}
        joined = np.concatenate([(x - means[name]) / scales[name] for name, x in seen.items()], axis=1)
        channels = {name: x.shape[1] for name, x in blocks.items()}
        return cls(by_name, channels, means, scales, np.linalg.qr(joined.T)[0])

    def __call__(self, blocks: Mapping[str, Array]) -> Array:
        """Turn spectra into (sample, feature)."""
        seen = {name: _look(view, blocks[name]) for name, view in self.views.items()}
        parts = [(x - self.means[name]) / self.scales[name] for name, x in seen.items()]
        return np.concatenate(parts, axis=1) @ self.rotation

    def check(self, blocks: Mapping[str, Array]) -> None:
        """Raise DataError unless modalities and channels are those fitted, and all values are finite."""
        for name, channels in self.channels.items():
            if name not in blocks:
                raise DataError(explain(f"X[{name!r}]", f"modality is missing; {known(name, blocks)}"))
            if blocks[name].shape[1] != channels:
                problem = f"{blocks[name].shape[1]} channels"
                raise DataError(explain(f"X[{name!r}]", problem, expected=f"{channels}, as fitted"))
            _check_finite(f"X[{name!r}]", blocks[name], np.ones(len(blocks[name]), bool))


def _look(view: View, spectra: Array) -> Array:
    return view(torch.from_numpy(spectra)).numpy()


def blocks_of(X: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Array]:
    """Check spectra and name their modalities; an array alone is called "spectra"."""
    blocks = {n: np.array(x, float) for n, x in (X if isinstance(X, Mapping) else {"spectra": X}).items()}
    shapes = {name: x.shape for name, x in blocks.items()}
    if not blocks or any(len(s) != 2 or 0 in s for s in shapes.values()) or len({s[0] for s in shapes.values()}) > 1:
        raise DataError(explain("X", f"shapes {shapes}", expected="(sample, channel), equally many samples everywhere"))
    return blocks


def training_rows(
    X: ArrayLike | Mapping[str, ArrayLike], Y: ArrayLike, groups: ArrayLike | None
) -> tuple[dict[str, Array], Array, NDArray]:
    """Leave out rows without a label or without a spectrum; what remains must be finite."""
    blocks, targets = blocks_of(X), np.asarray(Y, float)
    rows = len(next(iter(blocks.values())))
    if targets.ndim != 2 or len(targets) != rows:
        raise DataError(explain("Y", f"shape {targets.shape}", expected=f"({rows}, component)"))
    if groups is not None and np.shape(groups) != (rows,):
        raise DataError(explain("groups", f"shape {np.shape(groups)}", expected=f"({rows},)"))
    parts = {f"X[{name!r}]": x for name, x in blocks.items()} | {"Y": targets}
    kept = ~np.any([np.isnan(part).all(1) for part in parts.values()], axis=0)
    if not kept.any():
        raise DataError(explain("X, Y", "no row holds both a spectrum and a label"))
    for name, part in parts.items():
        _check_finite(name, part, kept)
    labels = _same_composition(targets[kept]) if groups is None else np.asarray(groups)[kept]
    return {name: x[kept] for name, x in blocks.items()}, targets[kept], labels


def _check_finite(where: str, values: Array, rows: NDArray[np.bool_]) -> None:
    bad = np.flatnonzero(rows & ~np.isfinite(values).all(1))
    if len(bad):
        raise DataError(explain(f"{where}[{bad[0]}]", "NaN or infinity", expected="finite values"))


def _same_composition(targets: Array) -> NDArray[np.int64]:
    size = np.abs(targets).max(0)
    rounded = np.round(targets / np.where(size > 0, size, 1), 6)
    return np.unique(rounded, axis=0, return_inverse=True)[1].ravel()
