"""The file format of spectra, and the parts of other people's files that a spec's layout names.

Our own files hold ``spectra/<modality>`` [sample, channel] and ``axis/<modality>`` with its ``unit``
(and ``labels`` where channels have names),
``targets/<name>`` with ``names`` and ``units``, ``covariates/<name>``, ``mask/<modality>``, ``groups`` and ``split``,
all checksummed, and the root attributes ``format`` and ``format_version``.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probspec.data import intake
from probspec.data.axes import check_axis
from probspec.data.hdf5 import Reader, Writer
from probspec.data.parts import Parts, channel_numbers
from probspec.data.rows import ArrayRows, FileRows, Rows, blocks, stamp
from probspec.errors import DataError, explain
from probspec.spec import DataSpec, Layout
from probspec.units import axis_unit

if TYPE_CHECKING:
    from probspec.data.spectra import Spectra

FORMAT, FORMAT_VERSION = "probspec", 1


def read_parts(file: Path, spec: DataSpec) -> Parts:
    """Read and check everything but the spectra, which stay in the file.

    Raises
    ------
    DataError
        Naming file, path and index of what is missing, unsafe or contradicts the spec.
    """
    with Reader(file) as reader:
        layout = _layout(reader, spec)
        length = _length(reader, layout)
        axes = {name: _axis(reader, layout, spec, name) for name in spec.modalities if _is_there(layout, name)}
        stored, measured = {}, {}
        for name, axis in axes.items():
            stored[name], measured[name] = _spectra(reader, layout, spec, name, (length, len(axis)))
        return Parts(
            length=length,
            axes=axes,
            stored=stored,
            measured=measured,
            targets={name: _target(reader, layout, spec, name, length) for name in layout.targets},
            groups=_names(reader, layout, layout.groups, length),
            split_labels=_names(reader, layout, layout.split, length),
            covariates={
                name: intake.covariate(_by_sample(reader.numbers(path), layout), reader.where(path), length)
                for name, path in layout.covariates.items()
            },
        )


def write_parts(file: Path, spectra: Spectra) -> None:
    """Write spectra in probspec's own format, whole or not at all."""
    with Writer(file) as writer:
        writer.attributes("/", {"format": FORMAT, "format_version": FORMAT_VERSION, "spec": spectra.spec.name})
        for name in spectra.modalities:
            _write_modality(writer, spectra, name)
        for name, values in spectra.targets.items():
            target = spectra.spec.targets[name]
            writer.array(f"targets/{name}", values)
            writer.attributes(f"targets/{name}", {"names": target.components, "units": (target.unit,)})
        for name, values in spectra.covariates.items():
            writer.array(f"covariates/{name}", values)
            writer.attributes(f"covariates/{name}", {"unit": spectra.spec.covariates[name]})
        for name, values in (("groups", spectra.groups), ("split", spectra.split_labels)):
            if values is not None:
                writer.array(name, values)


def _write_modality(writer: Writer, spectra: Spectra, name: str) -> None:
    axis = spectra.axes[name]
    writer.array(f"axis/{name}", axis)
    described = spectra.spec.modalities[name].axis
    labels = {"labels": described.labels} if described.labels else {}
    writer.attributes(f"axis/{name}", {"unit": described.unit, "name": described.name, **labels})
    writer.array(f"mask/{name}", spectra.present(name))
    if spectra.present(name).any():
        parts = (spectra.spectra(name, rows) for rows in blocks(len(spectra), len(axis)))
        writer.rows(f"spectra/{name}", (len(spectra), len(axis)), parts)


def _layout(reader: Reader, spec: DataSpec) -> Layout:
    """Take the layout of the spec, or probspec's own where the file says that it is one of ours."""
    if reader.attribute("/", "format") == FORMAT:
        return _own_layout(reader, spec)
    if spec.layout is None:
        fix = "add a [layout] table with the paths of its parts to the spec"
        raise DataError(explain(reader.file.name, "was not written by probspec, and the spec has no layout", fix=fix))
    return spec.layout


def _own_layout(reader: Reader, spec: DataSpec) -> Layout:
    version = reader.attribute("/", "format_version")
    if not isinstance(version, int) or not 1 <= version <= FORMAT_VERSION:
        where, expected = reader.where("@format_version"), f"a number up to {FORMAT_VERSION}"
        raise DataError(explain(where, f"{version!r}", expected=expected, fix="update probspec if the file is newer"))

    def there(folder: str, names: dict[str, Any]) -> dict[str, str]:
        return {name: f"{folder}/{name}" for name in names if reader.has(f"{folder}/{name}")}

    return Layout(
        spectra=there("spectra", spec.modalities),
        axis=there("axis", spec.modalities),
        mask=there("mask", spec.modalities),
        targets=there("targets", spec.targets),
        covariates=there("covariates", spec.covariates),
        groups="groups" if reader.has("groups") else None,
        split="split" if reader.has("split") else None,
    )


def _is_there(layout: Layout, modality: str) -> bool:
    return modality in layout.spectra or modality in layout.axis


def _length(reader: Reader, layout: Layout) -> int:
    for path in (*layout.spectra.values(), *layout.targets.values()):
        return _table_shape(reader, layout, path)[0]
    raise DataError(explain(reader.file.name, "holds no modality and no target of the spec", expected="at least one"))


def _table_shape(reader: Reader, layout: Layout, path: str) -> tuple[int, int]:
    """Samples and columns of spectra or targets; the samples of a cube are its pixels."""
    shape = reader.shape(path)
    dims = ("y", "x") if layout.cube else ("sample",)
    if len(shape) != len(dims) + 1 or 0 in shape:
        expected = f"[{', '.join(dims)}, channel or component], not empty"
        raise DataError(explain(reader.where(path), f"shape {shape}", expected=expected))
    return math.prod(shape[:-1]), shape[-1]


def _by_sample(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Put the pixels of a map below each other, line by line."""
    return values.reshape(-1, *values.shape[2:]) if layout.cube and values.ndim > 1 else values


def _axis(reader: Reader, layout: Layout, spec: DataSpec, name: str) -> NDArray[np.float64]:
    modality = spec.modalities[name]
    channels = modality.channels
    if name in layout.spectra:
        found = _table_shape(reader, layout, layout.spectra[name])[1]
        if channels is not None:
            intake.same_length(found, channels, reader.where(layout.spectra[name]), "channels")
        channels = found
    if name not in layout.axis:
        return channel_numbers(channels, modality.axis.unit, reader.where(f"axis/{name}"))
    path = layout.axis[name]
    _check_unit(reader, path, modality.axis.unit)
    _check_names(reader, path, "labels", modality.axis.labels)
    return check_axis(reader.numbers(path), modality.axis, reader.where(path), channels)


def _check_unit(reader: Reader, path: str, unit: str) -> None:
    """Refuse a file whose axis says another unit than the spec."""
    found, where = reader.attribute(path, "unit"), reader.where(f"{path}@unit")
    if found is not None and axis_unit(str(found), where) != unit:
        raise DataError(explain(where, f"{found!r}", expected=f"{unit}, as the spec says"))


def _check_names(reader: Reader, path: str, attribute: str, names: tuple[str, ...]) -> None:
    """Refuse a file whose channels or components have other names, or another order, than in the spec."""
    found, where = reader.attribute(path, attribute), reader.where(f"{path}@{attribute}")
    if isinstance(found, tuple) and found != names:
        raise DataError(explain(where, f"{list(found)}", expected=f"{list(names)}, as in the spec"))


def _spectra(
    reader: Reader, layout: Layout, spec: DataSpec, name: str, shape: tuple[int, int]
) -> tuple[Rows, NDArray[np.bool_]]:
    if name not in layout.spectra:
        return ArrayRows.missing(*shape), np.zeros(shape[0], bool)
    path = layout.spectra[name]
    intake.same_length(_table_shape(reader, layout, path)[0], shape[0], reader.where(path))
    modality = spec.modalities[name]
    stored = FileRows(reader.file.absolute(), path, shape, modality.noise, stamp(reader.file), gaps=modality.gaps)
    if name not in layout.mask:
        return stored, stored.measured()
    where = reader.where(layout.mask[name])
    mask = _by_sample(reader.numbers(layout.mask[name]), layout).astype(np.int8)
    mask = intake.numbers(mask, where, ("sample",))
    intake.same_length(len(mask), shape[0], where)
    return stored, mask != 0


def _target(reader: Reader, layout: Layout, spec: DataSpec, name: str, length: int) -> NDArray[np.float64]:
    target, path = spec.targets[name], layout.targets[name]
    where = reader.where(path)
    _check_names(reader, path, "names", target.components)
    named = target.support == "category" and reader.is_text(path)
    values = intake.class_codes(reader.names(path), target, where) if named else reader.numbers(path)
    labels = intake.targets(_by_sample(values, layout), target, where)
    intake.same_length(len(labels), length, where)
    return labels


def _names(reader: Reader, layout: Layout, path: str | None, length: int) -> NDArray[Any] | None:
    if path is None:
        return None
    return intake.names(_by_sample(reader.names(path), layout), reader.where(path), length)
