"""The four layers of ready-made features: which there are, and taking them into use."""

from dataclasses import dataclass
from functools import cache

from tagcast import behaviour, contacts
from tagcast.contacts import Attribute
from tagcast.features import actions, rules, values
from tagcast.features.rules import Definition
from tagcast.kit.errors import NotFound
from tagcast.kit.shipped import read_toml
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Ready:
    """A ready-made feature here: `used`, or `possible` with what this workspace records, else what is `missing`."""

    name: str
    layer: str
    label_zh: str
    label_en: str
    used: bool
    possible: bool
    missing: tuple[str, ...]


@cache
def shipped() -> dict[str, dict[str, Definition]]:
    """Layer → name → definition, as layers.toml has them."""
    found: dict[str, dict[str, Definition]] = {}
    for layer, some in read_toml("features", "layers.toml").items():
        for name, data in some.items():
            labels = {"label_zh": data.pop("zh", ""), "label_en": data.pop("en", "")}
            found.setdefault(layer, {})[name] = rules.parse(name, data | labels | {"layer": layer})
    return found


@cache
def fields() -> dict[str, Attribute]:
    """Every field that RFM and the ready-made features give, used or not, by name."""
    some = [rules.STANDARD_RFM, *(one for layer in shipped().values() for one in layer.values())]
    return {name: field.attribute for one in some for name, field in rules.fields_of(one).items()}


def ready(work: Work) -> list[Ready]:
    """Every ready-made feature and whether it is used or could be."""
    used = values.definitions(work)
    found = []
    for layer, some in shipped().items():
        for name, definition in some.items():
            fitted = _fitted(work, definition)
            missing = () if fitted is not None else definition.inputs or (definition.attribute,)
            label = fields()[name]
            found.append(Ready(name, layer, label.label_zh, label.label_en, name in used, fitted is not None, missing))
    return found


def use(work: Work, layer: str) -> list[str]:
    """Define every feature of a layer that is possible and not yet there; returns the new ones. Raises NotFound."""
    if layer not in shipped():
        raise NotFound("features.no_layer", name=layer, known=", ".join(shipped()))
    there, made = values.definitions(work), []
    for name, definition in shipped()[layer].items():
        fitted = _fitted(work, definition)
        if fitted is not None and name not in there:
            actions.define(work, fitted)
            made.append(name)
    return made


def _fitted(work: Work, definition: Definition) -> Definition | None:
    """The definition with the inputs that this workspace has; None if it has none of them."""
    if definition.kind == "age":
        attribute = contacts.attributes(work).get(definition.attribute)
        return definition if attribute is not None and attribute.type == "date" else None
    declared = behaviour.event_types(work)
    events = tuple(event for event in definition.events if event in declared)
    return rules.with_events(definition, events) if events else None
