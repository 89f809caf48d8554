"""Sizes and settings of the published autoencoder and of the networks that read secondaries (Vrabel et al. 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from probspec.errors import SpecError, check_whole
from probspec.training.options import TrainOptions

LATENTS, LAYERS, READING = 64, (1024, 512), (128, 512)
EPOCHS, READING_EPOCHS, PATIENCE = 50, 100, 0.1  # patience as a share of the epochs; it is not stated
STEPS = 4000  # at least, where the published epochs of a small set are fewer
LEARNING_RATE, BATCH = 1e-4, 128
L2 = 1e-5  # its strength is not stated
KL_WEIGHT, KL_CYCLES = 0.5, 4


def secondary_options(count: int) -> TrainOptions:
    """For the networks of the secondaries, given the number of rows."""
    epochs = _epochs(READING_EPOCHS, count)
    return TrainOptions(
        epochs=epochs,
        batch_size=min(BATCH, count),
        learning_rate=LEARNING_RATE,
        weight_decay=L2,
        clip_norm=None,
        patience=math.ceil(PATIENCE * epochs),
    )


def primary_options(count: int, epochs: int | None = None) -> TrainOptions:
    """For the autoencoder of the primary: the weight of the KL rises in four linear ramps.

    >>> [primary_options(313_600).kl_weight_at(epoch) for epoch in (0, 6.25, 12.5, 50)]
    [0.0, 0.25, 0.0, 0.5]
    """
    epochs = _epochs(EPOCHS, count) if epochs is None else epochs
    kl = {"kl_weight": KL_WEIGHT, "kl_warmup": float(epochs), "kl_cycles": KL_CYCLES}
    return replace(secondary_options(count), epochs=epochs, patience=None, **kl)


def check_sizes(sizes: Mapping[str, Any]) -> None:
    """Refuse what is no size or number of epochs.

    Raises
    ------
    SpecError
        Naming the argument.
    """
    for name, value in sizes.items():
        least = 0 if name == "epochs" else 1
        for size in value if isinstance(value, list) else [] if value is None else [value]:
            check_whole(name, size, least, SpecError)


def _epochs(published: int, count: int) -> int:
    return max(published, math.ceil(STEPS / math.ceil(count / BATCH)))
