"""A batch: the rows of one training or inference step, as tensors of one fixed shape.

What is missing is masked: a spectrum that was not measured is a row of zeros whose `present` is false, an unlabelled
row holds a placeholder whose `labelled` is false. Shapes therefore stay the same from step to step, and no distribution
ever sees a NaN. Only a modality whose spec allows gaps has NaN in its channels, for models that take them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rows of a `Spectra`, ready for a model.

    Parameters
    ----------
    x : dict of modality -> (sample, channel) Tensor
        Spectra in the unit of the data spec; rows that are not present are zero.
    present : dict of modality -> (sample,) bool Tensor
    y : dict of target -> (sample, component) Tensor
        Targets in their unit; unlabelled rows hold a value inside the support.
    labelled : dict of target -> (sample,) bool Tensor
    index : (sample,) int64 Tensor
        Row numbers in the set that the batch was taken from.
    total : int
        Number of rows of that set, by which minibatch terms are scaled.
    extras : dict of name -> (sample, ...) Tensor
        What the model prepared for these rows (`Model.prepare`, `Model.encode`), such as out-of-fold summaries.
    """

    x: dict[str, Tensor]
    present: dict[str, Tensor]
    y: dict[str, Tensor]
    labelled: dict[str, Tensor]
    index: Tensor
    total: int
    extras: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.index.shape[0]

    @property
    def scale(self) -> float:
        """Factor by which a sum over the batch estimates the sum over the whole set."""
        return self.total / len(self)

    def map(self, f: Callable[[Tensor], Tensor]) -> Batch:
        """Apply `f` to every tensor."""
        parts = ("x", "present", "y", "labelled", "extras")
        mapped = {part: {name: f(t) for name, t in getattr(self, part).items()} for part in parts}
        return replace(self, index=f(self.index), **mapped)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Batch:
        """Move to a device; floating tensors also change to `dtype` where one is given."""
        return self.map(lambda t: t.to(device, dtype if dtype and t.is_floating_point() else t.dtype))

    def rows(self, index: Tensor | slice) -> Batch:
        """Take some of the rows, those of a slice without a copy; `total` stays that of the whole set."""
        return self.map(lambda t: t[index])

    def without_labels(self) -> Batch:
        """Hide every label, as at inference."""
        return replace(self, labelled={k: torch.zeros_like(v) for k, v in self.labelled.items()})
