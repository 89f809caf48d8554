"""Variational inference of maps: cubes of Poisson counts (y, x, channel) with spatial priors.

`infer_maps` answers with draws of the maps of all amplitudes and parameters. What a map is like before anything is
counted is said by a law, and learnt.
"""

from probspec.fields.laws import FieldPrior, GaussianField, Independent, Law, StarletSparse
from probspec.fields.options import FieldOptions
from probspec.fields.unmix import AMPLITUDE, PARAMETER, MapPosterior, MapUnmixer, infer_maps

__all__ = [
    "AMPLITUDE",
    "PARAMETER",
    "FieldOptions",
    "FieldPrior",
    "GaussianField",
    "Independent",
    "Law",
    "MapPosterior",
    "MapUnmixer",
    "StarletSparse",
    "infer_maps",
]
