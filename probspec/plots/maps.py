"""Maps of a polished section: an oxide, a probability or the mineral of each pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Patch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import ArrayLike

from probspec.errors import QueryError, explain
from probspec.plots.style import PALETTE, heading, quantity_of, unit_of

BAR = (1.03, 0.0, 0.05, 1.0)  # of a map: its colour bar stands beside it, as high as it is
BLANK = "0.9"
SHADES = ((0.0, 0.0), (0.55, 1.0), (0.45, 0.0))  # how far towards which grey, once the palette runs out


def element_map(
    ax: Axes,
    values: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    colours: Sequence[str] | None = None,
    colormap: str = "viridis",
    quantity: str = "",
    unit: str = "",
    pixel: float | None = None,
    pixel_unit: str = "µm",
) -> Axes:
    """Quantity or class of each pixel, with a colour bar or a legend.

    Parameters
    ----------
    ax : Axes
    values : (y, x) array
        A quantity, NaN where not measured; or, where `names` is given, numbers of classes, -1 where there is none.
    names : sequence of str, optional
        All classes; those that occur are listed with their share of the classified pixels.
    colours : sequence of str, optional
        Of the classes, in the order of `names`; those of the palette where left out.
    colormap : str
        Of a quantity.
    quantity, unit : str
        Of a quantity, such as "MgO" and "wt%", where `values` carries none.
    pixel : float, optional
        Width of a pixel in `pixel_unit`; draws a scale bar.
    pixel_unit : str

    Returns
    -------
    Axes

    Raises
    ------
    QueryError
        If the values are no map, a class has no name, or quantity or unit are missing.
    """
    table = np.asarray(values)
    if table.ndim != 2 or not table.size:
        raise QueryError(explain("values", f"shape {table.shape}", expected="(y, x)"))
    if names is None:
        image = ax.imshow(np.ma.masked_invalid(table.astype(float)), cmap=colormap, interpolation="nearest")
        label = heading(quantity_of(values, quantity), unit_of(values, unit))
        ax.figure.colorbar(image, cax=ax.inset_axes(BAR), label=label)
    else:
        _classes(ax, table, names, colours)
    ax.set_facecolor(BLANK)
    if pixel is None:
        ax.set(xlabel="x (pixel)", ylabel="y (pixel)")
    else:
        ax.set(xticks=[], yticks=[])
        _scale_bar(ax, table.shape[1], pixel, pixel_unit)
    return ax


def shades(count: int) -> list[tuple[float, float, float]]:
    """Give colours by place: those of the palette, then lighter, then darker ones."""
    found = []
    for k in range(count):
        amount, grey = SHADES[k // len(PALETTE) % len(SHADES)]
        colour = np.array(to_rgb(PALETTE[k % len(PALETTE)]))
        found.append(tuple(((1 - amount) * colour + amount * grey).tolist()))
    return found


def _classes(ax: Axes, table: np.ndarray, names: Sequence[str], given: Sequence[str] | None) -> None:
    if table.dtype.kind not in "iu" or table.max() >= len(names) or table.min() < -1:
        problem = f"{table.dtype} from {table.min()} to {table.max()}"
        expected = f"integers from -1 (none) to {len(names) - 1}, the places of the names"
        raise QueryError(explain("values", problem, expected=expected))
    if given is not None and len(given) != len(names):
        raise QueryError(explain("colours", f"{len(given)}", expected=f"{len(names)}, one for each name"))
    colours, known = shades(len(names)) if given is None else [to_rgb(one) for one in given], table >= 0
    limits = {"vmin": -0.5, "vmax": len(names) - 0.5}
    ax.imshow(np.ma.masked_less(table, 0), cmap=ListedColormap(colours), interpolation="nearest", **limits)
    shares = np.bincount(table[known], minlength=len(names)) / max(known.sum(), 1)
    listed = [Patch(color=colours[k], label=f"{names[k]}, {_share(shares[k])}") for k in np.flatnonzero(shares)]
    if not known.all():
        listed.append(Patch(color=BLANK, label="none"))
    ax.legend(handles=listed, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def _share(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"


def _scale_bar(ax: Axes, width: int, pixel: float, unit: str) -> None:
    """Draw a bar of a round length, up to a quarter of the map."""
    if not pixel > 0:
        raise QueryError(explain("pixel", f"{pixel}", expected=f"the width of a pixel in {unit}"))
    most = width * pixel / 4
    decade = 10 ** np.floor(np.log10(most))
    length = decade * max(step for step in (1, 2, 5) if step * decade <= most * (1 + 1e-9))
    bar = AnchoredSizeBar(
        ax.transData, length / pixel, f"{length:g} {unit}", "lower right", pad=0.4, sep=3, frameon=True,
        size_vertical=max(width / 150, 0.3), color="black",
    )  # fmt: skip
    bar.patch.set(alpha=0.8, linewidth=0)
    ax.add_artist(bar)
