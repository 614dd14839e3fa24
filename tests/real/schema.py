"""Checks dashboards against the types of Grafana's Foundation SDK."""

import enum
import importlib
import pkgutil
import types
import typing

from grafana_foundation_sdk import models
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

register_default_plugins()
UNITS = {value for name, value in vars(units).items() if name in units.__annotations__}
MODULES = [
    importlib.import_module(f"{models.__name__}.{module.name}") for module in pkgutil.iter_modules(models.__path__)
]


def read(dashboard):
    """A dashboard as objects of the types. Unknown properties are lost."""
    return Dashboard.from_json(dashboard)


def as_panel_reads(panel_type, properties):
    """Reads properties of an override as defaults of a panel. Returns the panel and the properties that it keeps."""
    defaults = {}
    for one in properties:
        place, key = (
            (defaults.setdefault("custom", {}), one["id"][7:])
            if one["id"].startswith("custom.")
            else (defaults, one["id"])
        )
        place[key] = one["value"]
    panel = Panel.from_json({"type": panel_type, "fieldConfig": {"defaults": defaults, "overrides": []}})
    left = plain(panel)["fieldConfig"]["defaults"]

    def value(key):
        return left.get("custom", {}).get(key[7:]) if key.startswith("custom.") else left.get(key)

    return panel, [{"id": one["id"], "value": value(one["id"])} for one in properties]


def plain(value):
    if hasattr(value, "to_json"):
        value = value.to_json()
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def lost(given, kept, path="dashboard"):
    """Properties that were given and are not kept. Added defaults are ignored."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            yield from lost(value, kept.get(key), f"{path}.{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, value in enumerate(given):
            yield from lost(value, kept[index], f"{path}[{index}]")
    elif given != kept:
        yield f"{path}: {given!r} is not a known property or value"


def faults(value, hint=object, path="dashboard"):
    """Every value that does not have the type of its property."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, dict) and hasattr(hint, "from_json"):
        # The SDK leaves some parts of a dashboard unread.
        given, value = value, hint.from_json(value)
        yield from lost(given, plain(value), path)
    if origin in (typing.Union, types.UnionType):
        of_each = [list(faults(value, one, path)) for one in arguments]
        if all(of_each):
            # The faults for the most similar type, which is the one with the deepest paths.
            yield from max(of_each, key=lambda found: min(len(fault.split(": ")[0]) for fault in found))
    elif origin is typing.Literal:
        if value not in arguments:
            yield f"{path}: {value!r} is none of {arguments}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{path}: {value!r} is not a list"
        else:
            for index, one in enumerate(value):
                yield from faults(one, arguments[0], f"{path}[{index}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r} is not an object"
        else:
            for key, one in value.items():
                yield from faults(one, arguments[1], f"{path}.{key}")
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        if value not in {member.value for member in hint}:
            yield f"{path}: {value!r} is not a valid {hint.__name__}"
    elif hint in (int, float):
        if isinstance(value, bool) or not isinstance(value, (int, hint)):
            yield f"{path}: {value!r} is not a valid {hint.__name__}"
    elif hint is not typing.Any and not isinstance(value, hint):
        yield f"{path}: {value!r} is not a valid {hint.__name__}"
    elif type(value).__module__.startswith(models.__name__):
        # The property may only say `object`, as for the options of a panel, but the value has a type.
        for name, one in hints(type(value)).items():
            yield from faults(getattr(value, name), one, f"{path}.{name}")


def hints(cls):
    """The types of the members of a class. Some are defined in other modules."""
    names = {}
    for module in MODULES:
        names |= vars(module)
    return typing.get_type_hints(cls, localns=names | vars(importlib.import_module(cls.__module__)))
