"""How a surrogate is made: settings of both kinds, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from probspec.errors import DataError, FitError, check_whole, explain, known
from probspec.surrogates.links import LINKS


def _check_sizes(name: str, values: tuple[int, ...]) -> None:
    if not isinstance(values, tuple) or not values:
        raise FitError(explain(name, f"got {values!r}", expected="a tuple of whole numbers"))
    for value in values:
        check_whole(name, value, 1, FitError)


@dataclass(frozen=True)
class PCAOptions:
    """Settings of principal components with splines.

    Parameters
    ----------
    most_components : int
        Held-out spectra decide how many, up to so many.
    links : tuple of {"linear", "root", "log"}
        Scales of the spectra to try.
    folds : int
        Parts into which the rows are dealt, for each axis of a grid.
    most_rows : int
        Of scattered rows, or of one parameter, so many are drawn to choose and to measure by; all are fitted.
    enough : float, dB
        Mean held-out error below which no more components are asked for.

    Raises
    ------
    FitError
        If a setting is out of its range.
    """

    most_components: int = 64
    links: tuple[str, ...] = ("linear", "root", "log")
    folds: int = 5
    most_rows: int = 400
    enough: float = -80.0

    def __post_init__(self) -> None:
        check_whole("most_components", self.most_components, 1, FitError)
        check_whole("folds", self.folds, 2, FitError)
        check_whole("most_rows", self.most_rows, 10, FitError)
        object.__setattr__(self, "links", (self.links,) if isinstance(self.links, str) else tuple(self.links))
        for link in self.links:
            if link not in LINKS:
                raise FitError(explain("links", f"no link {link!r}", fix=known(link, LINKS)))
        if not self.links:
            raise FitError(explain("links", "empty", expected=", ".join(LINKS)))


@dataclass(frozen=True)
class Dense:
    """Fully connected layers of the encoder, mirrored in the decoder.

    Parameters
    ----------
    widths : tuple of int
        Hidden neurons; the last is the size of the code.
    """

    widths: tuple[int, ...] = (128, 32)

    def __post_init__(self) -> None:
        _check_sizes("widths", self.widths)


@dataclass(frozen=True)
class Convolution:
    """Layers of one-dimensional convolutions, mirrored in the decoder; by default those of SEMSUN (Phan et al.).

    Parameters
    ----------
    channels, kernels, strides : tuple of int
        One number for each layer.
    """

    channels: tuple[int, ...] = (12, 12, 12, 16, 16, 16)
    kernels: tuple[int, ...] = (4, 4, 6, 6, 6, 4)
    strides: tuple[int, ...] = (1, 1, 2, 2, 2, 2)

    def __post_init__(self) -> None:
        for name in ("channels", "kernels", "strides"):
            _check_sizes(name, getattr(self, name))
        if len({len(self.channels), len(self.kernels), len(self.strides)}) > 1:
            raise FitError(explain("channels, kernels, strides", "differ in length", expected="a number for a layer"))


@dataclass(frozen=True)
class IAEOptions:
    """Settings of the interpolatory autoencoder.

    Parameters
    ----------
    layers : Dense or Convolution
    anchors : int
        How many to choose where neither they nor parameters are given.
    epochs : int
    batch_size : int, spectra
    learning_rate : float
        At the start; it falls to zero along a cosine.
    code_weight : float
        Weight of the distance between the code of a spectrum and its interpolation, beside the logarithm of the error
        of the decoded spectrum.
    folds : int
        Networks trained for the held-out error, each without one fold, at least 2; 0 leaves the error unmeasured.

    Raises
    ------
    FitError
        If a setting is out of its range.
    """

    layers: Dense | Convolution = Dense()
    anchors: int = 2
    epochs: int = 1000
    batch_size: int = 36
    learning_rate: float = 1e-3
    code_weight: float = 1e-3
    folds: int = 2

    def __post_init__(self) -> None:
        for name, least in (("anchors", 2), ("epochs", 1), ("batch_size", 1), ("folds", 2 if self.folds else 0)):
            check_whole(name, getattr(self, name), least, FitError)
        for name in ("learning_rate", "code_weight"):
            if not getattr(self, name) >= 0:
                raise FitError(explain(name, f"got {getattr(self, name)!r}", expected="a number not below 0"))

    @classmethod
    def paper(cls) -> IAEOptions:
        """Settings as published for SEMSUN: hours on a CPU."""
        return cls(layers=Convolution(), epochs=20_000)


OPTIONS: dict[str, type[PCAOptions] | type[IAEOptions]] = {"pca": PCAOptions, "iae": IAEOptions}


def settings_of(
    kind: str, options: PCAOptions | IAEOptions | None, parameters: bool, anchors: bool
) -> PCAOptions | IAEOptions:
    """Settings of the kind that is meant, by whether there are parameters, and anchors.

    Raises
    ------
    DataError
        If the kind is unknown, or does not go with what is given.
    """
    if kind not in ("auto", *OPTIONS):
        raise DataError(explain("kind", f"no kind {kind!r}", fix=known(kind, ("auto", *OPTIONS))))
    if kind == "auto":
        kind = "iae" if isinstance(options, IAEOptions) or not parameters else "pca"
    if kind == "pca" and not parameters:
        raise DataError(explain("parameters", "missing", expected="parameters of each spectrum", fix='kind="iae"'))
    if kind == "pca" and anchors:
        raise DataError(explain("anchors", "principal components have none", fix='kind="iae", or leave anchors out'))
    options = OPTIONS[kind]() if options is None else options
    if not isinstance(options, OPTIONS[kind]):
        raise DataError(explain("options", f"{type(options).__name__} with kind {kind!r}", fix=OPTIONS[kind].__name__))
    return options
