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

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from probspec.errors import FileError, ProbspecError, explain
from probspec.fit import Fit
from probspec.folders import Folder
from probspec.models import by_name
from probspec.models.base import Model
from probspec.priors import Priors
from probspec.report import Report
from probspec.seeding import seeded
from probspec.sites import check_pair
from probspec.spec import DataSpec
from probspec.training.history import History
from probspec.training.options import TrainOptions

SPEC, PRIORS, HISTORY, WEIGHTS = "spec.json", "priors.json", "history.json", "weights.safetensors"
SAVED = Folder(
    kind="fit",
    version=1,
    packages=("torch", "pyro-ppl", "zuko", "numpy", "safetensors"),
    tensors=WEIGHTS,
    tables=(SPEC, PRIORS, HISTORY),
    saving="ps.save(fit, folder)",
)


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
    tables = {
        SPEC: fit.spec.to_config(),
        PRIORS: fit.model.priors.to_config(),
        HISTORY: fit.history.to_dict(),
    }
    SAVED.write(Path(folder), _meta(fit), tables, fit.model.state_dict())


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
    meta, tables, weights = SAVED.read(folder)
    try:
        model = _model(meta, tables)
        _set_weights(model, folder / WEIGHTS, weights)
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
        "model": fit.model.name,
        "config": fit.model.config,
        "architecture": fit.model.architecture(),
        "seed": fit.seed,
        "options": fit.options.to_dict(),
        "report": fit.report.to_dict(),
    }


def _model(meta: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> Model:
    kind = by_name(meta["model"])
    spec, priors = DataSpec.from_config(tables[SPEC], SPEC), Priors.from_config(tables[PRIORS])
    with seeded(0):  # the constructor draws first weights, which are then replaced
        model = kind(spec, priors, **meta["config"])
        model.build(meta["architecture"])
    return model


def _set_weights(model: Model, path: Path, saved: Mapping[str, Tensor]) -> None:
    wanted = model.state_dict()
    wrong = sorted(wanted.keys() ^ saved.keys()) or sorted(n for n in wanted if not _same_kind(wanted[n], saved[n]))
    if wrong:
        problem = f"does not hold the weights of {model.name} ({', '.join(wrong[:3])})"
        raise FileError(explain(str(path), problem, fix="load it with the versions in its meta.json"))
    model.load_state_dict(saved)


def _same_kind(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
