"""The checked parts that `Spectra` are made of, and how arrays become such parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probspec.data import intake
from probspec.data.axes import check_axis
from probspec.data.rows import ArrayRows, Rows
from probspec.errors import DataError, explain, known
from probspec.spec import DataSpec


@dataclass(frozen=True)
class Parts:
    """Parts of `length` rows that belong together; see `Spectra` for their shapes and units."""

    length: int
    axes: dict[str, NDArray[np.float64]]
    stored: dict[str, Rows]
    measured: dict[str, NDArray[np.bool_]]
    targets: dict[str, NDArray[np.float64]]
    groups: NDArray[Any] | None
    split_labels: NDArray[Any] | None
    covariates: dict[str, NDArray[np.float64]]


def check_arrays(
    spec: DataSpec, spectra: Any, axes: Any, targets: Any, groups: Any, split: Any, covariates: Mapping[str, Any]
) -> Parts:
    """Check the arguments of `Spectra.from_arrays`, and copy them.

    Raises
    ------
    DataError
        Naming the argument and the index of what is wrong.
    """
    measured: dict[str, intake.Flags] = {}
    stored: dict[str, Rows] = {}
    for name, values in _by_name(spectra, spec.modalities, "spectra").items():
        noise, gaps = spec.modalities[name].noise, spec.modalities[name].gaps
        checked, measured[name] = intake.spectra(values, f"spectra[{name!r}]", noise, gaps=gaps)
        stored[name] = ArrayRows(checked)
    labels = {
        name: intake.targets(values, spec.targets[name], f"targets[{name!r}]")
        for name, values in _by_name(targets, spec.targets, "targets").items()
    }
    length = _common_length(
        {f"spectra[{name!r}]": len(rows) for name, rows in measured.items()}
        | {f"targets[{name!r}]": len(rows) for name, rows in labels.items()}
    )
    positions = _by_name(axes, spec.modalities, "axes")
    kept = {
        name: _axis(spec, name, positions.get(name), stored.get(name))
        for name in spec.modalities
        if name in stored or name in positions
    }
    missing: dict[str, Rows] = {name: ArrayRows.missing(length, len(axis)) for name, axis in kept.items()}
    return Parts(
        length=length,
        axes=kept,
        stored=missing | stored,
        measured={name: np.zeros(length, bool) for name in kept} | measured,
        targets=labels,
        groups=None if groups is None else intake.names(groups, "groups", length),
        split_labels=None if split is None else intake.names(split, "split", length),
        covariates={
            name: intake.covariate(values, f"covariates[{name!r}]", length)
            for name, values in _by_name(covariates, spec.covariates, "covariates").items()
        },
    )


def channel_numbers(channels: int | None, unit: str, where: str) -> NDArray[np.float64]:
    """Count the channels where that is the unit of the axis; any other axis has to be given."""
    if unit != "channel" or channels is None:
        raise DataError(explain(where, "missing", expected=f"the position of each channel in {unit}"))
    return np.arange(channels, dtype=np.float64)


def _by_name(values: Any, names: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Give each array its name; a bare array belongs to the only name there is. The order is that of the spec."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        if len(names) != 1:
            expected = f"a dict by name ({', '.join(names) or 'the spec declares none'})"
            raise DataError(explain(where, "one array without a name", expected=expected))
        return {next(iter(names)): values}
    for name in values:
        if name not in names:
            raise DataError(explain(f"{where}[{name!r}]", f"not declared by the spec, {known(name, names)}"))
    return {name: values[name] for name in names if name in values}


def _common_length(lengths: dict[str, int]) -> int:
    if not lengths:
        raise DataError(explain("spectra", "neither spectra nor targets", expected="at least one array"))
    (first, length), *others = lengths.items()
    for where, other in others:
        if other != length:
            raise DataError(explain(where, f"{other} rows", expected=f"{length}, as {first} has"))
    return length


def _axis(spec: DataSpec, name: str, positions: Any, rows: Rows | None) -> NDArray[np.float64]:
    modality, where = spec.modalities[name], f"axes[{name!r}]"
    channels = modality.channels
    if rows is not None and channels is not None:
        intake.same_length(rows.shape[1], channels, f"spectra[{name!r}]", "channels")
    if rows is not None:
        channels = rows.shape[1]
    if positions is None:
        return channel_numbers(channels, modality.axis.unit, where)
    return check_axis(positions, modality.axis, where, channels)
