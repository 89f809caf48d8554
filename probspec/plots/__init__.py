"""Figures: matplotlib axes in, the same axes out.

Every function draws on the axes it is given and touches no global state. Axis labels carry the quantity and its unit,
intervals say their probability, and a component keeps its colour in every figure whose names come in the same order
(palette of Okabe & Ito 2008 with a darker yellow, safe for colour-blind readers). Names and units are taken from
labelled arrays (xarray) where they have them, and are arguments where they have none.
"""

from probspec.plots.augmentation import channel_statistics, neighbour_distances
from probspec.plots.classification import confusion, latent_map, reliability, selective
from probspec.plots.compositions import abundance_bars, intervals
from probspec.plots.diagnostics import calibration, loss_history
from probspec.plots.figures import new_figure, save
from probspec.plots.hyperspectral import cluster_maps, distance_map, intensity_map
from probspec.plots.maps import element_map
from probspec.plots.simplex import ternary
from probspec.plots.spectra import spectra_band, spectra_lines
from probspec.plots.unmixing import component_bands, posterior_map

__all__ = [
    "abundance_bars",
    "calibration",
    "channel_statistics",
    "cluster_maps",
    "component_bands",
    "confusion",
    "distance_map",
    "element_map",
    "intensity_map",
    "intervals",
    "latent_map",
    "loss_history",
    "neighbour_distances",
    "new_figure",
    "posterior_map",
    "reliability",
    "save",
    "selective",
    "spectra_band",
    "spectra_lines",
    "ternary",
]
