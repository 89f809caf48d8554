"""Spectra: checked measurements of one or more modalities, with named axes, targets and groups.

Any part may be missing: a spectrum (a row of NaN in that modality), a label (a row of NaN in that target), or both
but one. Spectra in a file stay there and are read in blocks of rows, so that their number is not bounded by memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probspec.batch import Batch
from probspec.data import intake, partition
from probspec.data.axes import convert_axis
from probspec.data.batches import Batches
from probspec.data.hdf5 import ROWS, by_block
from probspec.data.parts import Parts, check_arrays
from probspec.data.rows import ArrayRows, Rows
from probspec.data.storage import read_parts, write_parts
from probspec.errors import DataError, explain, known
from probspec.spec import Axis, DataSpec, Target, load_spec

__all__ = ["Batches", "Spectra", "open_spectra"]


@dataclass(frozen=True, eq=False, repr=False)
class Spectra:
    """Validated spectra; made by `from_arrays`, `open_spectra` or `simulate`, and never changed.

    Attributes
    ----------
    spec : DataSpec
    axes : dict of modality -> (channel,) float64 array, unit of the modality's axis
    targets : dict of target -> (sample, component) float64 array, unit of the target
        A row of NaN is unlabelled.
    groups : (sample,) int or str array, or None
        Rows of one group are never parted.
    split_labels : (sample,) int or str array, or None
        "test" where the source holds a row out.
    covariates : dict of name -> (sample,) float64 array, unit of the spec
    modalities : tuple of str

    Examples
    --------
    >>> from probspec.spec import anonymous_spec
    >>> spectra = Spectra.from_arrays([[1.0, 2.0], [3.0, 4.0]], anonymous_spec({"x": 2}, ["a", "b"]),
    ...                               targets=[[0.2, 0.8], [np.nan, np.nan]])
    >>> spectra
    Spectra(anonymous: 2 rows; x 2 channels, 0-1 channel, 2 measured; abundance 1 labelled)
    >>> spectra.to_batch().y["abundance"]
    tensor([[0.2000, 0.8000],
            [0.5000, 0.5000]])
    """

    spec: DataSpec
    axes: dict[str, NDArray[np.float64]]
    targets: dict[str, NDArray[np.float64]]
    groups: NDArray[Any] | None
    split_labels: NDArray[Any] | None
    covariates: dict[str, NDArray[np.float64]]
    _stored: dict[str, Rows]
    _measured: dict[str, NDArray[np.bool_]]
    _rows: NDArray[np.int64]

    @classmethod
    def from_arrays(
        cls,
        spectra: Any,
        spec: DataSpec | str,
        axes: Any = None,
        targets: Any = None,
        groups: Any = None,
        split: Any = None,
        covariates: Mapping[str, Any] | None = None,
    ) -> Spectra:
        """Check arrays and keep copies of them.

        Parameters
        ----------
        spectra : (sample, channel) array, or dict of modality -> such arrays
            A row of NaN was not measured; single NaN are allowed where the modality has gaps. A modality that is left
            out but has an axis is missing in every row.
        spec : DataSpec or str
        axes : (channel,) array, or dict of modality -> such arrays, unit of the spec
            May be left out where the unit is "channel".
        targets : (sample, component) array, or dict of target -> such arrays, optional
            A row of NaN is unlabelled. Fractions that sum to 1 within a thousandth are closed to 1.
        groups, split : (sample,) int or str, optional
        covariates : dict of name -> (sample,) array, optional

        Raises
        ------
        DataError
            Naming the argument and the index of what is wrong.
        """
        spec = load_spec(spec) if isinstance(spec, str) else spec
        return cls._made_of(spec, check_arrays(spec, spectra, axes, targets, groups, split, covariates or {}))

    @classmethod
    def _made_of(cls, spec: DataSpec, parts: Parts) -> Spectra:
        unlabelled = {t: np.full((parts.length, target.width), np.nan) for t, target in spec.targets.items()}
        return cls(
            spec=spec,
            axes=parts.axes,
            targets=unlabelled | parts.targets,
            groups=parts.groups,
            split_labels=parts.split_labels,
            covariates=parts.covariates,
            _stored=parts.stored,
            _measured=parts.measured,
            _rows=np.arange(parts.length),
        )

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that have an axis here, in the order of the spec."""
        return tuple(self.axes)

    @property
    def is_lazy(self) -> bool:
        """Whether reading spectra goes to a file."""
        return any(stored.is_lazy for stored in self._stored.values())

    def present(self, modality: str) -> NDArray[np.bool_]:
        """Which rows have a spectrum of this modality, as (sample,) bool array."""
        return self._measured[self._known(modality, self.axes, "modality")].copy()

    def labelled(self, target: str) -> NDArray[np.bool_]:
        """Which rows have a label, as (sample,) bool array."""
        return np.asarray(~np.isnan(self.targets[self._known(target, self.targets, "target")]).any(axis=1))

    def spectra(self, modality: str, rows: Any = None) -> NDArray[np.float32]:
        """Read spectra, NaN where they (or, in a modality with gaps, single channels) were not measured.

        Parameters
        ----------
        modality : str
        rows : row numbers or boolean mask, optional
            All rows where left out.

        Returns
        -------
        (sample, channel) float32 array
            A new array.

        Raises
        ------
        DataError
            Where rows do not exist, or a file cannot be read or holds channels that are no spectra.
        """
        measured = self.present(modality)
        rows = np.arange(len(self)) if rows is None else intake.row_numbers(rows, len(self), "rows")
        here = measured[rows]
        if here.all() and len(rows):
            return self._stored[modality].read(self._rows[rows])
        values = np.full((len(rows), len(self.axes[modality])), np.nan, dtype=np.float32)
        values[here] = self._stored[modality].read(self._rows[rows[here]])
        return values

    def select(self, index: Any) -> Spectra:
        """Take rows by number, slice or boolean mask; nothing is read.

        Raises
        ------
        DataError
            Where rows do not exist or none is chosen.
        """
        rows = intake.row_numbers(index, len(self))
        return replace(
            self,
            targets={t: y[rows] for t, y in self.targets.items()},
            groups=None if self.groups is None else self.groups[rows],
            split_labels=None if self.split_labels is None else self.split_labels[rows],
            covariates={c: v[rows] for c, v in self.covariates.items()},
            _measured={m: f[rows] for m, f in self._measured.items()},
            _rows=self._rows[rows],
        )

    def split(self, test: float | None = None, seed: int | None = None) -> tuple[Spectra, Spectra]:
        """Hold rows out: as the source says, else whole groups, else rows.

        Parameters
        ----------
        test : float, optional
            Share of the rows. Given `test` or `seed`, the source's own split is not used; the spec has the defaults.
        seed : int, optional

        Returns
        -------
        (train, test) : Spectra

        Raises
        ------
        DataError
            Where the rows cannot be parted (one row, one group), or the source holds out no row or every row.
        """
        if self.split_labels is not None and test is None and seed is None:
            held = self._held_by_source(self.split_labels)
        else:
            rule = self.spec.split
            share, seed = rule.test if test is None else test, rule.seed if seed is None else seed
            held = partition.hold_out(self._blocks(), share, seed)
        return self.select(~held), self.select(held)

    def stored_blocks(self) -> list[NDArray[np.int64]]:
        """Part row numbers by the block that they are stored in, which is read as a whole."""
        return by_block(self._rows, ROWS)

    def alike(self, target: str) -> NDArray[np.int64]:
        """Number the groups, (sample,); where there are none, rows related by their values of a target.

        What is held out together when a model looks for its own settings: a composition measured twelve times says
        nothing new the twelfth time, and one made by an addition to another little.
        """
        values = self.targets[self._known(target, self.targets, "target")]
        if self.groups is None:
            return partition.related(values)
        _, first, codes = np.unique(self.groups, return_index=True, return_inverse=True)
        return first.argsort().argsort()[codes.reshape(-1)]

    def folds(self, k: int, seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Row numbers (train, test) of `k` folds, whole groups at a time where there are groups.

        Raises
        ------
        DataError
            Where there are fewer than `k` groups or rows, or `k` is less than 2.
        """
        return partition.folds(self._blocks(), k, seed)

    def to_batch(
        self, index: Any = None, extras: Mapping[str, Tensor] | None = None, total: int | None = None
    ) -> Batch:
        """Read rows as float32 tensors; what is missing is a zero or a placeholder, and masked.

        Only single channels that are missing from a spectrum (modalities with gaps) stay NaN, for the model to handle.

        Parameters
        ----------
        index : row numbers or boolean mask, optional
            All rows where left out.
        extras : dict of name -> (sample, ...) Tensor, optional
            What the model prepared, for all rows of this set.
        total : int, optional
            Rows of the whole set; `len(self)` where left out.

        Raises
        ------
        DataError
            Where rows do not exist, or extras do not have one row for each spectrum.
        """
        rows = np.arange(len(self)) if index is None else intake.row_numbers(index, len(self))
        at = torch.from_numpy(rows)
        for name, values in (extras or {}).items():
            intake.same_length(len(values), len(self), f"extras[{name!r}]")
        return Batch(
            x={m: torch.from_numpy(self._zeroed(m, rows)) for m in self.modalities},
            present={m: torch.from_numpy(self.present(m)[rows]) for m in self.modalities},
            y={t: _filled(y[rows], self.spec.targets[t]) for t, y in self.targets.items()},
            labelled={t: torch.from_numpy(self.labelled(t)[rows]) for t in self.targets},
            index=at,
            total=len(self) if total is None else total,
            extras={name: values[at] for name, values in (extras or {}).items()},
        )

    def only(self, *modalities: str) -> Spectra:
        """Hide all other modalities, as if they had not been measured."""
        for name in modalities:
            self._known(name, self.axes, "modality")
        return replace(self, _measured={m: f & (m in modalities) for m, f in self._measured.items()})

    def to_unit(self, modality: str, unit: str) -> Spectra:
        """Express the axis of a modality in nm, um, cm^-1, eV or keV, ascending again; see `convert_axis`.

        Raises
        ------
        DataError
            Where the axis is a Raman shift or channel numbers.
        SpecError
            Where the unit is not known.
        """
        described = self.spec.modalities[self._known(modality, self.axes, "modality")]
        axis, named, turned = convert_axis(self.axes[modality], described.axis, unit, f"axes[{modality!r}]")
        described = described.model_copy(update={"axis": named})
        stored = self._stored[modality]
        return replace(
            self,
            spec=self.spec.model_copy(update={"modalities": self.spec.modalities | {modality: described}}),
            axes=self.axes | {modality: axis},
            _stored=self._stored | {modality: stored.turned() if turned else stored},
        )

    def load(self) -> Spectra:
        """Read everything into memory."""
        stored = {m: ArrayRows(self.spectra(m)) for m in self.modalities}
        return replace(self, _stored=stored, _rows=np.arange(len(self)))

    def concat(self, other: Spectra) -> Spectra:
        """Put the rows of `other` below, in memory; a modality that one of them lacks is missing there.

        Raises
        ------
        DataError
            Where specs or axes differ, or only one of them has groups, a split or a covariate.
        """
        if self.spec != other.spec:
            expected = f"that of {self.spec.name!r}"
            raise DataError(explain("other", f"spec {other.spec.name!r} differs", expected=expected))
        axes = self.axes | other.axes
        for name in self.axes.keys() & other.axes.keys():
            if not np.array_equal(self.axes[name], other.axes[name]):
                raise DataError(explain(f"other.axes[{name!r}]", "other positions", expected="the same axis"))
        return Spectra.from_arrays(
            {m: np.concatenate([_rows_of(s, m, len(axis)) for s in (self, other)]) for m, axis in axes.items()},
            self.spec,
            axes=axes,
            targets={t: np.concatenate([y, other.targets[t]]) for t, y in self.targets.items()},
            groups=_joined(self.groups, other.groups, "groups"),
            split=_joined(self.split_labels, other.split_labels, "split_labels"),
            covariates={
                c: _joined(self.covariates.get(c), other.covariates.get(c), f"covariates[{c!r}]")
                for c in self.covariates | other.covariates
            },
        )

    def write(self, path: str | Path) -> None:
        """Write an HDF5 file in probspec's format, checksummed; it replaces what was there in one step.

        Raises
        ------
        DataError
            Where the file cannot be written.
        """
        write_parts(Path(path), self)

    def __repr__(self) -> str:
        return f"Spectra({self.spec.name}: {'; '.join(self._parts())})"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{escape(part)}</li>" for part in self._parts())
        return f"<b>Spectra</b> {escape(self.spec.title or self.spec.name)}<ul>{items}</ul>"

    def _parts(self) -> list[str]:
        parts = [f"{len(self)} rows" + (", in a file" if self.is_lazy else "")]
        for name, axis in self.axes.items():
            span = _span(axis, self.spec.modalities[name].axis)
            parts.append(f"{name} {len(axis)} channels, {span}, {self._measured[name].sum()} measured")
        parts += [f"{name} {self.labelled(name).sum()} labelled" for name in self.targets]
        return parts if self.groups is None else [*parts, f"{len(np.unique(self.groups))} groups"]

    def _held_by_source(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        held = labels == "test"
        if held.all() or not held.any():
            problem = f'{held.sum()} of {len(self)} rows are labelled "test"'
            raise DataError(explain("split", problem, expected="some, but not all", fix="split(test=0.25)"))
        return held

    def _blocks(self) -> NDArray[Any]:
        """Give what must not be parted: groups, or each row for itself."""
        if self.groups is None or self.spec.split.by == "row":
            return np.arange(len(self))
        return self.groups

    def _zeroed(self, modality: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Read spectra with zeros where there is none; gaps within one stay NaN."""
        here = self._measured[modality][rows]
        if not here.any():
            return np.zeros((len(rows), len(self.axes[modality])), np.float32)
        values = self.spectra(modality, rows)
        values[~here] = 0
        return values

    def _known(self, name: str, names: Mapping[str, Any], where: str) -> str:
        if name not in names:
            raise DataError(explain(where, f"{name!r} is not here, {known(name, names)}"))
        return name


def open_spectra(file: str | Path, spec: DataSpec | str | Path) -> Spectra:
    """Open an HDF5 file; the spectra stay in it and are read in blocks of rows.

    Parameters
    ----------
    file : path
        Written by `Spectra.write`, or of the layout that the spec describes.
    spec : DataSpec, or name or path of one

    Raises
    ------
    DataError
        Naming the path inside the file, and the index, of what is missing, unsafe or contradicts the spec. A file
        without a mask is read once, block by block, to see which spectra there are.
    """
    spec = spec if isinstance(spec, DataSpec) else load_spec(spec)
    return Spectra._made_of(spec, read_parts(Path(file), spec))


def _span(positions: NDArray[np.float64], axis: Axis) -> str:
    """First and last channel."""
    if axis.labels:
        return f"{axis.labels[0]} to {axis.labels[-1]}"
    return f"{positions[0]:.6g}-{positions[-1]:.6g} {axis.unit}"


def _filled(labels: NDArray[np.float64], target: Target) -> Tensor:
    """Put a value inside the support in place of NaN, so that no law ever sees one."""
    inside = {"simplex": 1 / target.width, "positive": 1.0, "unit_interval": 0.5}.get(target.support, 0.0)
    return torch.from_numpy(np.where(np.isnan(labels), inside, labels).astype(np.float32))


def _rows_of(spectra: Spectra, modality: str, channels: int) -> NDArray[np.float32]:
    if modality in spectra.modalities:
        return spectra.spectra(modality)
    return np.full((len(spectra), channels), np.nan, dtype=np.float32)


def _joined(one: NDArray[Any] | None, other: NDArray[Any] | None, where: str) -> NDArray[Any] | None:
    if one is None and other is None:
        return None
    if one is None or other is None:
        raise DataError(explain(where, "only one of the two sets has them", expected="both or neither"))
    if (one.dtype.kind == "U") != (other.dtype.kind == "U"):
        raise DataError(explain(where, f"{one.dtype} and {other.dtype} cannot be joined", expected="one kind of names"))
    return np.concatenate([one, other])
