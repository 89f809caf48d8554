"""From files and arrays to checked spectra, and from these to batches."""

from probspec.data.analyses import read_analyses
from probspec.data.batches import Batches
from probspec.data.spectra import Spectra, open_spectra

__all__ = ["Batches", "Spectra", "open_spectra", "read_analyses"]
