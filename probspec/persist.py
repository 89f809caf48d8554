"""Saved fits: a folder of JSON and safetensors, never a pickle.

=====================  ======================================================================
meta.json              format version, versions of packages, model by name, seed, options, report
spec.json              the data spec
priors.json            a table for each law
weights.safetensors    weights and buffers
history.json           losses by epoch
checksums.json         SHA-256 of each other file
=====================  ======================================================================

A folder appears whole or not at all. Its checksums are compared when it is loaded, so that a flipped bit is an error
and not a slightly other posterior; draws with the same seed are then the same to the last bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from probspec.atomic import left_over, write_folder
from probspec.errors import FileError, ProbspecError, explain
from probspec.fit import Fit
from probspec.models import by_name
from probspec.models.base import Model
from probspec.priors import Priors
from probspec.report import Report
from probspec.seeding import seeded
from probspec.sites import check_pair
from probspec.spec import DataSpec
from probspec.training.history import History
from probspec.training.options import TrainOptions

FORMAT = "probspec fit"
FORMAT_VERSION = 1
PACKAGES = ("torch", "pyro-ppl", "zuko", "numpy", "safetensors")
META, SPEC, PRIORS, HISTORY = "meta.json", "spec.json", "priors.json", "history.json"
WEIGHTS, CHECKSUMS = "weights.safetensors", "checksums.json"
AGAIN = "copy the folder again, or fit and save again"


def save(fit: Fit, folder: str | Path) -> None:
    """Save a fit; a saved fit that has the name already is replaced.

    Parameters
    ----------
    fit : Fit
    folder : path

    Raises
    ------
    FileError
        If the name belongs to something else, or the disk refuses.
    PriorError
        If a prior is a callable, which has no table.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / META).is_file():
        raise FileError(explain(str(folder), "exists and is not a saved fit", fix="choose another name"))
    files = {
        META: _json(_meta(fit)),
        SPEC: _json(fit.spec.to_config()),
        PRIORS: _json(fit.model.priors.to_config()),
        HISTORY: _json(fit.history.to_dict()),
        WEIGHTS: tensor_bytes({name: _plain(value) for name, value in fit.model.state_dict().items()}),
    }
    try:
        write_folder(folder, files | {CHECKSUMS: _json({name: _digest(data) for name, data in files.items()})})
    except OSError as error:
        raise FileError(explain(str(folder), f"cannot be written ({error.strerror or error})")) from error


def load(folder: str | Path) -> Fit:
    """Load a saved fit.

    Parameters
    ----------
    folder : path

    Returns
    -------
    Fit
        Its posterior draws are those of the fit that was saved, to the last bit.

    Raises
    ------
    FileError
        If the folder or a file in it is missing, damaged, or written by a newer probspec.
    """
    folder = Path(folder)
    if not folder.is_dir():
        old = left_over(folder)
        fix = f"rename {old}, which a killed save() left" if old else "ps.save(fit, folder)"
        raise FileError(explain(str(folder), "no such folder", expected="a saved fit", fix=fix))
    meta = _table(folder / META, _bytes(folder / META))
    _check_format(folder / META, meta)
    files = _checked(folder)
    tables = {name: _table(folder / name, files[name]) for name in (META, SPEC, PRIORS, HISTORY)}
    try:
        model = _model(tables)
        _set_weights(model, folder / WEIGHTS, files[WEIGHTS])
        check_pair(model, model.guide, model.example())
        return Fit(
            model=model.eval(),
            history=History.from_dict(tables[HISTORY]),
            report=Report.from_dict(meta["report"]),
            seed=meta["seed"],
            options=TrainOptions.from_dict(meta["options"]),
        )
    except FileError:
        raise
    except (ProbspecError, AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"does not make a fit ({type(error).__name__}: {error})"
        raise FileError(explain(str(folder), problem, fix="load it with the versions in its meta.json")) from error


def _meta(fit: Fit) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "versions": {package: version(package) for package in PACKAGES},
        "model": fit.model.name,
        "config": fit.model.config,
        "architecture": fit.model.architecture(),
        "seed": fit.seed,
        "options": fit.options.to_dict(),
        "report": fit.report.to_dict(),
    }


def _model(tables: Mapping[str, Mapping[str, Any]]) -> Model:
    meta = tables[META]
    kind = by_name(meta["model"])
    spec, priors = DataSpec.from_config(tables[SPEC], SPEC), Priors.from_config(tables[PRIORS])
    with seeded(0):  # the constructor draws first weights, which are then replaced
        model = kind(spec, priors, **meta["config"])
        model.build(meta["architecture"])
    return model


def _set_weights(model: Model, path: Path, data: bytes) -> None:
    try:
        saved = read_tensors(data)
    except SafetensorError as error:
        raise FileError(explain(str(path), f"cannot be read ({error})", fix=AGAIN)) from error
    wanted = model.state_dict()
    wrong = sorted(wanted.keys() ^ saved.keys()) or sorted(n for n in wanted if not _same_kind(wanted[n], saved[n]))
    if wrong:
        problem = f"does not hold the weights of {model.name} ({', '.join(wrong[:3])})"
        raise FileError(explain(str(path), problem, fix="load it with the versions in its meta.json"))
    model.load_state_dict(saved)


def _same_kind(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


def _checked(folder: Path) -> dict[str, bytes]:
    """Bytes of each file, as they were written."""
    sums = _table(folder / CHECKSUMS, _bytes(folder / CHECKSUMS))
    files = {name: _bytes(folder / name) for name in (META, SPEC, PRIORS, HISTORY, WEIGHTS)}
    for name, data in files.items():
        if sums.get(name) != _digest(data):
            problem = "was changed or damaged since it was saved"
            raise FileError(explain(str(folder / name), problem, fix=AGAIN))
    return files


def _check_format(path: Path, meta: Mapping[str, Any]) -> None:
    if meta.get("format") != FORMAT:
        raise FileError(explain(str(path), "is not that of a saved fit", fix="give the folder that save() wrote"))
    found = meta.get("format_version")
    if not isinstance(found, int) or found > FORMAT_VERSION:
        problem = f"has format version {found!r}, this probspec reads up to {FORMAT_VERSION}"
        raise FileError(explain(str(path), problem, fix="upgrade probspec"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(explain(str(path), f"cannot be read ({error.strerror})", fix=AGAIN)) from error


def _table(path: Path, data: bytes) -> dict[str, Any]:
    try:
        table = json.loads(data)
    except ValueError as error:
        raise FileError(explain(str(path), f"is not JSON ({error})", fix=AGAIN)) from error
    if not isinstance(table, dict):
        raise FileError(explain(str(path), "is not a table", fix=AGAIN))
    return table


def _json(table: Mapping[str, Any]) -> bytes:
    return json.dumps(table, indent=1, ensure_ascii=False).encode()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _plain(value: Tensor) -> Tensor:
    """Give a tensor memory of its own, as safetensors wants it."""
    return value.detach().cpu().contiguous().clone()
