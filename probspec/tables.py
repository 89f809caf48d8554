"""Frozen tables of keys, as TOML and JSON hold them, whose errors name the key and what is allowed there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from probspec.errors import SpecError, explain, known


class Fault(NamedTuple):
    """One wrong key of a spec."""

    key: tuple[str, ...]
    problem: str
    expected: str = ""


class FaultySpec(SpecError):
    """A spec with wrong keys; `faults` holds all of them."""

    def __init__(self, where: str, *faults: Fault):
        super().__init__(where, *faults)
        self.where, self.faults = where, faults

    def __str__(self) -> str:
        places = (": ".join(filter(None, (self.where, ".".join(f.key)))) for f in self.faults)
        return "\n".join(explain(at, f.problem, expected=f.expected) for at, f in zip(places, self.faults, strict=True))


class Table(BaseModel):
    """A frozen table of a spec, in which unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **keys: Any):
        try:
            super().__init__(**keys)
        except ValidationError as error:
            raise FaultySpec(type(self).__name__, *_faults(error, type(self))) from None


def _faults(error: ValidationError, table: type[Table]) -> Iterator[Fault]:
    """Read pydantic's errors; those of inner tables arrive as the `FaultySpec` that the table raised."""
    for entry in error.errors(include_url=False):
        key = tuple(str(part) for part in entry["loc"])
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, FaultySpec):
            yield from (Fault(key + f.key, f.problem, f.expected) for f in cause.faults)
        elif entry["type"] == "extra_forbidden":
            yield Fault(key, f"unknown key, {known(key[-1], table.model_fields)}")
        elif entry["type"] == "missing":
            required = (name for name, info in table.model_fields.items() if info.is_required())
            yield Fault(key, "missing", f"the keys {', '.join(required)}")
        else:
            yield Fault(key, f"{_short(entry['input'])} is not allowed", entry["msg"].removeprefix("Input should be "))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
