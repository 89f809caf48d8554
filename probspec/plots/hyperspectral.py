"""Maps of hyperspectral images and of their transfer, pixel by pixel (Vrabel et al. 2023, figures 7, 8 and 12).

Spectra are handed in as images (y, x, channel); a pixel that is NaN in any channel is left blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from probspec.errors import QueryError, explain, known
from probspec.metrics.transfer import CLUSTERS, cluster_labels, cosine_distances, euclidean_distances
from probspec.plots.maps import element_map

Array = NDArray[np.float64]
KINDS = ("euclidean", "cosine")
AGREEMENT = ("equal", "differ")
TITLES = ("True spectra", "Transferred spectra", "Where they differ")
QUIET, LOUD = "0.75", "#D55E00"


def intensity_map(
    ax: Axes, spectra: ArrayLike, *, unit: str, pixel: float | None = None, pixel_unit: str = "µm"
) -> Axes:
    """Sum over the channels of each pixel.

    Parameters
    ----------
    ax : Axes
    spectra : (y, x, channel) array
    unit : str
        Of the spectra.
    pixel, pixel_unit
        As for `element_map`.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If the spectra are no image.

    Examples
    --------
    >>> from probspec.plots import new_figure
    >>> _, axes = new_figure()
    >>> intensity_map(axes[0, 0], np.ones((3, 4, 5)), unit="counts").get_xlabel()
    'x (pixel)'
    """
    image = _image(spectra, "spectra")
    return element_map(
        ax, image.sum(-1), quantity="total intensity", unit=unit, pixel=pixel, pixel_unit=pixel_unit, colormap="inferno"
    )


def distance_map(
    ax: Axes,
    truth: ArrayLike,
    transferred: ArrayLike,
    *,
    kind: str = "euclidean",
    unit: str = "",
    pixel: float | None = None,
    pixel_unit: str = "µm",
) -> Axes:
    """How far the transferred spectrum of each pixel is from the true one.

    Parameters
    ----------
    ax : Axes
    truth, transferred : (y, x, channel) array
    kind : {"euclidean", "cosine"}
        The Euclidean distance follows the intensity, one minus the cosine the shape alone.
    unit : str
        Of the spectra, for "euclidean".
    pixel, pixel_unit
        As for `element_map`.

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If the spectra are no images of one shape, or `kind` is not known.
    """
    if kind not in KINDS:
        raise QueryError(explain(f"kind={kind!r}", known(kind, KINDS)))
    one, other, there = _images(truth, transferred)
    distances = euclidean_distances if kind == "euclidean" else cosine_distances
    values = np.full(there.shape, np.nan)
    values[there] = distances(one[there], other[there])
    named = {"quantity": f"{kind} distance", "unit": unit if kind == "euclidean" else "1 − cos"}
    return element_map(ax, values, **named, pixel=pixel, pixel_unit=pixel_unit)


def cluster_maps(
    axes: Sequence[Axes],
    truth: ArrayLike,
    transferred: ArrayLike,
    *,
    clusters: int = CLUSTERS,
    seed: int = 0,
    pixel: float | None = None,
    pixel_unit: str = "µm",
) -> Sequence[Axes]:
    """K-means clusters of the true spectra, those that the transferred ones fall into, and where the two differ.

    Clusters are numbered from the largest on and keep their colour in both maps; the share of equal pixels is the
    k-score.

    Parameters
    ----------
    axes : sequence of three Axes
    truth, transferred : (y, x, channel) array
    clusters : int
    seed : int
        Of k-means.
    pixel, pixel_unit
        As for `element_map`.

    Returns
    -------
    sequence of three Axes

    Raises
    ------
    QueryError
        If there are not three axes, or the spectra are no images of one shape.
    DataError
        If there are fewer pixels than clusters.
    """
    if np.size(axes) != len(TITLES):
        raise QueryError(explain("axes", f"{np.size(axes)}", expected="three: true, transferred, where they differ"))
    one, other, there = _images(truth, transferred)
    labels = cluster_labels(one[there], other[there], clusters, seed)
    names = [f"cluster {k + 1}" for k in range(clusters)]
    differ = (labels[0] != labels[1]).astype(int)
    drawn = ((labels[0], names, None), (labels[1], names, None), (differ, AGREEMENT, (QUIET, LOUD)))
    for ax, title, (values, called, colours) in zip(axes, TITLES, drawn, strict=True):
        table = np.full(there.shape, -1)
        table[there] = values
        element_map(ax, table, names=called, colours=colours, pixel=pixel, pixel_unit=pixel_unit)
        ax.set_title(title)
    axes[-1].set_title(f"{TITLES[-1]}, k-score {1 - differ.mean():.4f}")
    return axes


def _image(spectra: ArrayLike, name: str) -> Array:
    image = np.asarray(spectra, dtype=float)
    if image.ndim != 3 or not image.size:
        fix = f"{name}.reshape(height, width, -1)" if image.ndim == 2 else ""
        raise QueryError(explain(name, f"shape {image.shape}", expected="(y, x, channel)", fix=fix))
    return image


def _images(truth: ArrayLike, transferred: ArrayLike) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Both images, and the pixels that both have."""
    one, other = _image(truth, "truth"), _image(transferred, "transferred")
    if one.shape != other.shape:
        raise QueryError(explain("transferred", f"shape {other.shape}", expected=f"{one.shape}, as the true spectra"))
    return one, other, np.isfinite(one).all(-1) & np.isfinite(other).all(-1)
