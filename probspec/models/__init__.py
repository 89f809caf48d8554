"""The models, one published method a file. A new method needs its file and one line in `ALL`."""

from __future__ import annotations

from probspec.errors import QueryError, explain, known
from probspec.models.base import Model
from probspec.models.cvae import CVAE
from probspec.models.minerals import MineralBNN
from probspec.models.transfer import LatentTransfer
from probspec.models.uvae import UVAE
from probspec.models.vae_transfer import VAETransfer
from probspec.spec import DataSpec

ALL: tuple[type[Model], ...] = (UVAE, MineralBNN, CVAE, LatentTransfer, VAETransfer)
"""Every model, known to saved fits and to the command line by its `name`."""


def for_spec(spec: DataSpec) -> type[Model]:
    """Model that infers what a data spec names first: a category, or a composition or quantity."""
    first = next(iter(spec.targets.values()), None)
    return MineralBNN if first is not None and first.support == "category" else UVAE


def by_name(name: str) -> type[Model]:
    """Model class of a name.

    Raises
    ------
    QueryError
        If no model has the name.
    """
    for model in ALL:
        if model.name == name:
            return model
    raise QueryError(explain(f"model {name!r}", f"no such model; {known(name, [model.name for model in ALL])}"))
