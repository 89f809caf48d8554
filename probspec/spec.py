"""A data spec says what a set of spectra is: modalities, axes with units, targets with supports, default priors.

It is a TOML file, checked on loading: whatever is wrong is reported with the file, the key and what is allowed there.
The specs that come with probspec are listed by `list_specs`; a path loads one's own. A spec may also map the HDF5
paths of somebody else's file (`Layout`) and name the simulator that makes spectra of its kind.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from probspec.errors import SpecError, explain, known
from probspec.tables import Fault, FaultySpec, Table
from probspec.units import axis_unit

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Support = Literal["simplex", "positive", "real", "unit_interval", "category"]

# Installed packages hold the specs inside themselves, a checkout beside the package.
FOLDERS = (Path(__file__).parent / "data_specs", Path(__file__).parent.parent / "data_specs")


class Axis(Table):
    """What the channels of a modality are measured along.

    Parameters
    ----------
    name : str
        Such as ``wavelength``. A name with the word "shift" marks positions relative to a laser line (Raman).
    unit : str
        One of `probspec.units.UNITS`, in any accepted spelling.
    labels : tuple of str
        Names of the channels, such as oxides, where the unit is "channel" and a number says nothing.
    """

    name: str
    unit: str
    labels: tuple[str, ...] = ()

    @field_validator("unit")
    @classmethod
    def _one_spelling(cls, unit: str) -> str:
        return axis_unit(unit, where="")

    @model_validator(mode="after")
    def _labels_name_channels(self) -> Self:
        if self.labels and self.unit != "channel":
            raise _fault("labels", f"names beside positions in {self.unit}", 'unit = "channel", or no labels')
        if len(set(self.labels)) < len(self.labels):
            raise _fault("labels", f"{list(self.labels)} repeats a name", "distinct names")
        return self

    @property
    def is_shift(self) -> bool:
        """Whether positions are relative to a laser line, so that they have no wavelength of their own."""
        return "shift" in self.name.casefold()


class Modality(Table):
    """One kind of spectrum.

    Parameters
    ----------
    axis : Axis
    quantity : str
        What a channel holds: absorbance, intensity, counts.
    unit : str
        Unit of that quantity; empty where it has none.
    noise : {"gaussian", "poisson"}
        Law of a channel given its mean. Under "poisson" channels are whole counts.
    channels : int, optional
        Number of channels, where it is fixed.
    gaps : bool
        Whether single channels may be missing (NaN), such as an oxide that was not analysed. A spectrum that is all
        NaN was not measured, with gaps or without.
    """

    axis: Axis
    quantity: str = "intensity"
    unit: str = ""
    noise: Literal["gaussian", "poisson"] = "gaussian"
    channels: int | None = Field(default=None, gt=0)
    gaps: bool = False

    @model_validator(mode="after")
    def _has_a_label_for_each_channel(self) -> Self:
        labels = len(self.axis.labels)
        if labels and labels != self.channels:
            given = "not given" if self.channels is None else f"{self.channels}"
            raise _fault("channels", given, f"{labels}, as axis.labels has")
        return self


class Target(Table):
    """What is asked of a spectrum.

    Parameters
    ----------
    components : tuple of str
        Names along the target's own dim; the classes, where the support is a category.
    unit : str
    support : {"simplex", "positive", "real", "unit_interval", "category"}
        Where values lie. Labels on the edge (an absent component is 0) are allowed.
    dim : str
        Name of the dim in answers.
    """

    components: tuple[str, ...] = Field(min_length=1)
    unit: str = ""
    support: Support
    dim: Name = "component"

    @model_validator(mode="after")
    def _has_distinct_components(self) -> Self:
        if len(set(self.components)) < len(self.components):
            raise _fault("components", f"{list(self.components)} repeats a name", "distinct names")
        if self.support in ("simplex", "category") and len(self.components) < 2:
            raise _fault("components", f"one component under support {self.support!r}", "two or more")
        return self

    @property
    def width(self) -> int:
        """Numbers a row: one per component, or one class code."""
        return 1 if self.support == "category" else len(self.components)


class Layout(Table):
    """HDF5 paths of somebody else's file.

    Parameters
    ----------
    spectra, axis, mask : dict of modality -> path
        Spectra [sample, channel]; axis [channel]; mask [sample], true where the spectrum was measured.
    targets, covariates : dict of name -> path
    groups, split : path, optional
        Group [sample] whose rows must not be parted; split [sample], "test" where held out.
    cube : bool
        Whether the parts are maps: spectra [y, x, channel], targets [y, x] or [y, x, component], the others [y, x].
        Their pixels become samples, line by line.
    """

    spectra: dict[Name, str]
    axis: dict[Name, str] = {}
    mask: dict[Name, str] = {}
    targets: dict[Name, str] = {}
    covariates: dict[Name, str] = {}
    groups: str | None = None
    split: str | None = None
    cube: bool = False


class Split(Table):
    """How rows are held out where the file does not say it.

    Parameters
    ----------
    by : {"group", "row"}
        Whole groups where the data have groups, or single rows.
    test : float
        Share of the rows that is held out.
    seed : int
    """

    by: Literal["group", "row"] = "group"
    test: float = Field(default=0.25, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)


class DataSpec(Table):
    """What a set of spectra is.

    Parameters
    ----------
    name : str
    title : str
    modalities : dict of name -> Modality
    targets : dict of name -> Target
    covariates : dict of name -> unit
        Known nuisances, one number a row.
    priors : dict of site name -> law table
        Such as ``{"law": "Dirichlet", "concentration": 1.0}``; scalars hold for every component.
    simulator : dict, optional
        ``name`` of the simulator, and its options.
    layout : Layout, optional
        Where a file that probspec did not write keeps its parts.
    split : Split
    source, licence : str
    caveats : tuple of str

    Raises
    ------
    SpecError
        Naming each wrong key and what is allowed.

    Examples
    --------
    >>> spec = load_spec("nir_ternary_temperature")
    >>> spec
    DataSpec('nir_ternary_temperature': nir in nm; abundance of 3 components on simplex)
    """

    name: Name
    title: str = ""
    modalities: dict[Name, Modality] = Field(min_length=1)
    targets: dict[Name, Target] = {}
    covariates: dict[Name, str] = {}
    priors: dict[Name, dict[str, Any]] = {}
    simulator: dict[str, Any] | None = None
    layout: Layout | None = None
    split: Split = Split()
    source: str = ""
    licence: str = ""
    caveats: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for site, law in self.priors.items():
            if not isinstance(law.get("law"), str):
                raise _fault(f"priors.{site}.law", "missing", 'the name of a law, such as law = "Dirichlet"')
        if self.simulator is not None and not isinstance(self.simulator.get("name"), str):
            raise _fault("simulator.name", "missing", "the name of a simulator")
        if self.layout is not None:
            _check_layout(self.layout, self)
        return self

    def quantity(self) -> tuple[str, Target]:
        """Name and description of the first target that is a composition or another quantity, not a category.

        Raises
        ------
        SpecError
            Where there is none.
        """
        for name, target in self.targets.items():
            if target.support != "category":
                return name, target
        fix = "add a table [targets.abundance]"
        raise SpecError(explain(f"{self.name}: targets", "no composition or quantity to infer", fix=fix))

    def channels(self) -> dict[str, int]:
        """Number of channels of each modality.

        Raises
        ------
        SpecError
            Where a modality leaves it open.
        """
        for name, modality in self.modalities.items():
            if modality.channels is None:
                fix = f"add channels = ... to [modalities.{name}]"
                raise SpecError(explain(f"{self.name}: modalities.{name}.channels", "not given", fix=fix))
        return {name: modality.channels or 0 for name, modality in self.modalities.items()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str = "DataSpec") -> DataSpec:
        """Make a spec from plain tables, as read from TOML or JSON; errors begin with `where`."""
        if not isinstance(config, Mapping):
            raise SpecError(explain(where, f"{type(config).__name__} is not a table", expected="keys and values"))
        try:
            return cls(**config)
        except FaultySpec as error:
            raise FaultySpec(where, *error.faults) from None

    def to_config(self) -> dict[str, Any]:
        """Plain tables that `from_config` reads and JSON can hold."""
        return self.model_dump(mode="json", exclude_none=True)

    def __repr__(self) -> str:
        seen = [
            f"{name} of {len(m.axis.labels)} channels" if m.axis.labels else f"{name} in {m.axis.unit}"
            for name, m in self.modalities.items()
        ]
        asked = [f"{name} of {len(t.components)} components on {t.support}" for name, t in self.targets.items()]
        return f"DataSpec({self.name!r}: {', '.join(seen)}; {', '.join(asked) or 'no targets'})"

    __str__ = __repr__


def list_specs() -> list[str]:
    """Names of the specs that come with probspec."""
    return sorted({file.stem for folder in FOLDERS for file in folder.glob("*.toml")})


def load_spec(name_or_path: str | Path) -> DataSpec:
    """Load a data spec by its name, or by the path of a TOML file.

    Raises
    ------
    SpecError
        Where there is no such spec, the file is no TOML, or keys are wrong.

    Examples
    --------
    >>> load_spec("nir_ternary_temperature").targets["abundance"].components
    ('water', '1,2-ethanediol', '3-amino-1-propanol')
    """
    file = _find(name_or_path)
    try:
        config = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(explain(str(file), f"cannot be read ({error.strerror})")) from None
    except ValueError as error:
        raise SpecError(explain(str(file), f"no valid TOML ({error})")) from None
    return DataSpec.from_config(config, where=str(file))


def anonymous_spec(modalities: Mapping[str, int], components: Sequence[str], support: Support = "simplex") -> DataSpec:
    """Describe bare arrays: axes are channel numbers, the one target is called abundance on the simplex, else target.

    Parameters
    ----------
    modalities : dict of name -> number of channels
    components : sequence of str
        Empty where nothing is to be predicted.
    support : str
        Support of the target.

    Examples
    --------
    >>> anonymous_spec({"x": 50}, ["a", "b"])
    DataSpec('anonymous': x in channel; abundance of 2 components on simplex)
    """
    axis = Axis(name="channel", unit="channel")
    target = "abundance" if support == "simplex" else "target"
    return DataSpec(
        name="anonymous",
        modalities={name: Modality(axis=axis, channels=channels) for name, channels in modalities.items()},
        targets={target: Target(components=tuple(components), support=support)} if len(components) else {},
    )


def _find(name_or_path: str | Path) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml") or Path(text).name != text:
        return Path(name_or_path)
    for folder in FOLDERS:
        if (folder / f"{text}.toml").is_file():
            return folder / f"{text}.toml"
    problem, fix = f"not found, {known(text, list_specs())}", "give one of these, or a path that ends in .toml"
    raise SpecError(explain(f"spec {text!r}", problem, fix=fix))


def _fault(key: str, problem: str, expected: str) -> FaultySpec:
    return FaultySpec("", Fault(tuple(key.split(".")), problem, expected))


def _check_layout(layout: Layout, spec: DataSpec) -> None:
    """Refuse paths for what the spec does not have, and spectra whose axis cannot be known."""
    declared = {
        "spectra": spec.modalities,
        "axis": spec.modalities,
        "mask": spec.modalities,
        "targets": spec.targets,
        "covariates": spec.covariates,
    }
    for part, names in declared.items():
        for name in getattr(layout, part):
            if name not in names:
                raise _fault(f"layout.{part}.{name}", f"not declared, {known(name, names)}", "")
    for name in layout.spectra:
        if name not in layout.axis and spec.modalities[name].axis.unit != "channel":
            raise _fault(f"layout.axis.{name}", "missing", "the path of the axis, or an axis in unit channel")
