"""Minerals of a section, pixel by pixel: a classifier of analyses looks at an element map.

A map has many pixels; it is worked through in blocks, so that beside the answers only one block is held in memory. A
pixel without any oxide was not measured and is not asked about: its answers are -1 (mineral) and NaN (all others).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.special import entr

from probspec.errors import DataError, ProbspecWarning, QueryError, explain, known
from probspec.oxides import LEAST, MOST, OTHERS, OXIDES, oxide_table, strange_totals

MAPS = ("mineral", "probability", "doubt", "strangeness")
"""What can be mapped; strangeness only by a classifier that has `ood_score`."""

NOT_MEASURED = -1
"""Code of a pixel without any oxide."""

ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "probability": {"long_name": "probability of the mineral", "unit": "1"},
    "doubt": {"long_name": "entropy of the mineral", "unit": "nat"},
    "strangeness": {"long_name": "strangeness", "unit": "nat"},
}

Array = NDArray[np.float64]


class PixelClassifier(Protocol):
    """What a classifier must have, fitted: rows of oxides in wt% in, probabilities of classes out."""

    classes_: NDArray[Any]

    def predict_proba(self, X: Array) -> ArrayLike:
        """Probability of each class, (sample, class), of oxides : (sample, oxide) in the order of `OXIDES`."""
        ...


class Tile(NamedTuple):
    """Pixels that are dealt with together."""

    y: slice
    x: slice


def classify_map(
    classifier: PixelClassifier,
    oxides: xr.DataArray | ArrayLike,
    names: Sequence[str] | None = None,
    block: int = 20_000,
    maps: Sequence[str] = MAPS,
    dim: str = "oxide",
    ignore: Sequence[str] = OTHERS,
) -> xr.Dataset:
    """Name the mineral of each pixel, and say how sure that is.

    Parameters
    ----------
    classifier : PixelClassifier
        Fitted on oxides in wt% in the order of `OXIDES`, such as `MineralClassifier`.
    oxides : (y, x, oxide) array, or DataArray with two more dims besides `dim`; wt%
        NaN = not reported. A DataArray keeps the names, coordinates and units of its two dims.
    names : sequence of str, optional
        Oxide of each channel, in any order and spelling that `oxide_table` knows; the coordinate `dim` of a DataArray
        where left out, or `OXIDES`.
    block : int, pixel
        Most pixels looked at together.
    maps : sequence of {"mineral", "probability", "doubt", "strangeness"}
        Leave "strangeness" out where the classifier has no `ood_score`.
    dim : str
        The dim of the oxides in a DataArray.
    ignore : sequence of str
        Channels that are passed over; any other channel that is no oxide is an error.

    Returns
    -------
    Dataset of (y, x) maps
        `mineral`: place in its attribute ``names`` (the classes), -1 = not measured; ``flag_values`` and
        ``flag_meanings`` say the same in the CF conventions. `probability` of that mineral; `doubt`, entropy of the
        probabilities in nats; `strangeness`, `ood_score` of the classifier, higher = stranger. NaN = not measured.

    Raises
    ------
    DataError
        If the array is no map, a channel has no name or is no oxide, or naming the pixel and oxide of the first value
        that is not believable.
    QueryError
        If a map is not known, the block is empty, or strangeness is wanted of a classifier without `ood_score`.

    Examples
    --------
    >>> from probspec.baselines import GaussianDiscriminant
    >>> from probspec.simulate.section import simulate_section
    >>> section = simulate_section((12, 16), ["Olivine", "Plagioclase"], seed=1)
    >>> X, y = section["oxides"].values.reshape(-1, 10), section["mineral"].values.ravel()
    >>> classifier = GaussianDiscriminant(shrinkages=[10], ridges=[0.01], views=["raw"]).fit(X, y)
    >>> answer = classify_map(classifier, section["oxides"], maps=("mineral", "probability", "doubt"))
    >>> dict(answer.sizes), bool((answer["mineral"] == section["mineral"]).mean() > 0.9)
    ({'y': 12, 'x': 16}, True)
    """
    _check_wanted(classifier, maps, block)
    image = _image(oxides, dim)
    channels = _channels(image, names, dim)
    answer = _blank(image, classifier.classes_, maps)
    strange = 0
    for tile in _tiles(image.shape[:2], block):
        table = _table(image[tile.y, tile.x], tile, channels, ignore)
        measured = ~np.isnan(table).all(1)
        if measured.any():
            strange += int(strange_totals(table[measured]).sum())
            _write(answer, tile, measured, _ask(classifier, table[measured], maps))
    if strange:
        problem = f"totals outside 20-130 wt% in {strange} of {image.shape[0] * image.shape[1]} pixels"
        warnings.warn(explain("oxides", problem, fix="do not trust them; look at strangeness"), ProbspecWarning, 2)
    return answer


def _check_wanted(classifier: PixelClassifier, maps: Sequence[str], block: int) -> None:
    if isinstance(maps, str) or not len(maps):
        raise QueryError(explain("maps", f"{maps!r}", expected="a list of maps", fix=f"maps={MAPS}"))
    for name in maps:
        if name not in MAPS:
            raise QueryError(explain("maps", f"{name!r}; {known(name, MAPS)}"))
    if block < 1:
        raise QueryError(explain("block", f"{block} pixels", expected="1 or more"))
    if "strangeness" in maps and getattr(classifier, "ood_score", None) is None:
        problem = f"strangeness, but {type(classifier).__name__} has no ood_score"
        raise QueryError(explain("maps", problem, fix=f"maps={tuple(name for name in maps if name != 'strangeness')}"))


def _image(oxides: xr.DataArray | ArrayLike, dim: str) -> xr.DataArray:
    """Bring the map into the order (y, x, oxide); the values of a lazy one are not read."""
    if not isinstance(oxides, xr.DataArray):
        values = np.asarray(oxides)
        dims = ("y", "x", dim) if values.ndim == 3 else tuple(f"dim_{k}" for k in range(values.ndim))
        oxides = xr.DataArray(values, dims=dims)
    if dim not in oxides.dims or oxides.ndim != 3 or 0 in oxides.shape:
        problem = f"dims {', '.join(f'{name}: {size}' for name, size in oxides.sizes.items()) or 'none'}"
        raise DataError(explain("oxides", problem, expected=f"(y, x, {dim}), one pixel or more"))
    if oxides.dtype.kind not in "fiu":
        raise DataError(explain("oxides", f"dtype {oxides.dtype}", expected="numbers in wt%"))
    return oxides.transpose(..., dim)


def _channels(image: xr.DataArray, names: Sequence[str] | None, dim: str) -> list[str]:
    count = image.sizes[dim]
    if names is None and dim in image.coords:
        names = [str(name) for name in image[dim].values]
    if names is None:
        names = OXIDES
        if count != len(OXIDES):
            fix = f"names=[...], the oxide of each of the {count} channels"
            raise DataError(explain("oxides", f"{count} channels without names", fix=fix))
    if isinstance(names, str) or len(names) != count:
        raise DataError(explain("names", f"{names!r}", expected=f"the oxide of each of the {count} channels"))
    return [str(name) for name in names]


def _blank(image: xr.DataArray, classes: NDArray[Any], maps: Sequence[str]) -> xr.Dataset:
    """Maps of pixels that were not measured, with the coordinates of the two dims."""
    y, x = image.dims[:2]
    coordinates = {name: image[name] for name in image.coords if set(image[name].dims) <= {y, x}}
    names = [str(name) for name in np.asarray(classes).tolist()]
    legend = {
        "long_name": "mineral",
        "names": names,
        "flag_values": np.arange(len(names), dtype=np.int16),
        "flag_meanings": " ".join("_".join(name.split()) for name in names),
        "not_measured": NOT_MEASURED,
    }
    found = xr.Dataset(coords=coordinates)
    for name in (name for name in MAPS if name in maps):
        if name == "mineral":
            found[name] = (y, x), np.full(image.shape[:2], NOT_MEASURED, np.int16), legend
        else:
            found[name] = (y, x), np.full(image.shape[:2], np.nan), dict(ATTRIBUTES[name])
    return found


def _tiles(shape: tuple[int, ...], block: int) -> Iterator[Tile]:
    """Cut the map into whole rows of pixels, or into parts of a row where a block holds less."""
    wide = min(shape[1], block)
    high = block // wide
    for y in range(0, shape[0], high):
        for x in range(0, shape[1], wide):
            yield Tile(slice(y, y + high), slice(x, x + wide))


def _table(part: xr.DataArray, tile: Tile, channels: Sequence[str], ignore: Sequence[str]) -> Array:
    """Oxides of the pixels of a tile : (pixel, oxide), in the order of `OXIDES`."""
    values = part.values.astype(np.float64)
    wrong = (values < LEAST) | (values > MOST)
    wrong[..., [name in ignore for name in channels]] = False
    if wrong.any():
        y, x, channel = np.unravel_index(int(wrong.argmax()), wrong.shape)
        where = f"oxides[{tile.y.start + y}, {tile.x.start + x}, {channels[channel]}]"
        expected = f"{LEAST:g} to {MOST:g} wt%, or NaN (not reported)"
        raise DataError(explain(where, f"{values[y, x, channel]:.6g}; are these counts?", expected=expected))
    frame = pd.DataFrame(values.reshape(-1, len(channels)), columns=list(channels))
    return oxide_table(frame, "oxides", ignore)


def _ask(classifier: Any, table: Array, maps: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Answers for measured pixels, each (pixel,)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProbspecWarning)  # these name rows of a block; one is given for the whole map
        proba = np.asarray(classifier.predict_proba(table), float)
        strange = np.asarray(classifier.ood_score(table), float) if "strangeness" in maps else None
    expected = (len(table), len(classifier.classes_))
    if proba.shape != expected:
        raise DataError(explain("classifier", f"probabilities of shape {proba.shape}", expected=f"{expected}"))
    answers = {"mineral": proba.argmax(1), "probability": proba.max(1), "doubt": entr(proba).sum(1)}
    answers |= {} if strange is None else {"strangeness": strange}
    return {name: answers[name] for name in answers if name in maps}


def _write(answer: xr.Dataset, tile: Tile, measured: NDArray[np.bool_], found: Mapping[str, NDArray[Any]]) -> None:
    for name, values in found.items():
        target = answer[name].values[tile.y, tile.x]
        target[measured.reshape(target.shape)] = values
