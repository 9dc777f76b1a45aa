"""What Salesforce says of its objects, as values; cached, because a describe is large and counts as a call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from syncbridge.errors import SchemaDrift
from syncbridge.schemas import FieldKind, RemoteField, RemoteObject

KINDS: Mapping[str, FieldKind] = {
    "id": FieldKind.IDENTIFIER,
    "string": FieldKind.STRING,
    "encryptedstring": FieldKind.STRING,
    "combobox": FieldKind.STRING,  # free text with proposals
    "textarea": FieldKind.TEXT,
    "email": FieldKind.EMAIL,
    "phone": FieldKind.PHONE,
    "url": FieldKind.URL,
    "boolean": FieldKind.BOOLEAN,
    "int": FieldKind.INTEGER,
    "long": FieldKind.INTEGER,
    "double": FieldKind.NUMBER,
    "currency": FieldKind.NUMBER,
    "percent": FieldKind.NUMBER,
    "date": FieldKind.DATE,
    "datetime": FieldKind.DATETIME,
    "time": FieldKind.TIME,
    "picklist": FieldKind.PICKLIST,
    "multipicklist": FieldKind.MULTIPICKLIST,
    "reference": FieldKind.REFERENCE,
}
_NUMBERS = (FieldKind.INTEGER, FieldKind.NUMBER)

V = TypeVar("V")


class Names(dict[str, V]):
    """A dict whose names are looked up whatever their case, as Salesforce does; it lists them as they are spelled."""

    def __init__(self, values: Mapping[str, V]) -> None:
        super().__init__(values)
        self._spelled = {name.lower(): name for name in values}

    def __missing__(self, name: str) -> V:
        spelled = self._spelled.get(name.lower())
        if spelled is None:
            raise KeyError(name)
        return super().__getitem__(spelled)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._spelled

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


class Descriptions:
    """Describes objects through `fetch`, each once, until `refresh` or `forget`. Thread-safe.

    Threads that want one object at the same time share one call.
    """

    def __init__(self, fetch: Callable[[str], Any]) -> None:
        self._fetch = fetch
        self._lock = threading.Lock()
        self._known: dict[str, RemoteObject] = {}
        self._turns: dict[str, threading.Lock] = {}  # one thread asks for an object at a time

    def get(self, object: str, *, refresh: bool = False) -> RemoteObject:
        name = object.lower()
        if not refresh and (known := self.known(name)) is not None:
            return known
        with self._lock:
            turn = self._turns.setdefault(name, threading.Lock())
        with turn:
            if refresh or (known := self.known(name)) is None:
                known = described(self._fetch(object))
                with self._lock:
                    self._known[name] = known
        return known

    def known(self, object: str) -> RemoteObject | None:
        """The description if there is one already; nothing is asked for."""
        with self._lock:
            return self._known.get(object.lower())

    def forget(self, object: str) -> None:
        """Describe again when asked next: Salesforce refused a field or the object."""
        with self._lock:
            self._known.pop(object.lower(), None)


def described(payload: Mapping[str, Any]) -> RemoteObject:
    """The object that the JSON of a describe tells of."""
    return RemoteObject(
        name=payload["name"],
        fields=Names({field["name"]: _field(field) for field in payload["fields"]}),
        createable=payload.get("createable", True),
        updateable=payload.get("updateable", True),
        deletable=payload.get("deletable", True),
        label=payload.get("label") or "",
    )


def field_of(object: RemoteObject, name: str) -> RemoteField:
    """A field whatever the case of its name; SchemaDrift with near names when there is none."""
    found = object.fields.get(name)
    if found is None:
        raise SchemaDrift(
            f"{object.name} has no field {name}, or the user may not see it.",
            code="INVALID_FIELD",
            hint=near(name, object.fields) or "Check its field-level security.",
        )
    return found


def near(name: str, known: Iterable[str]) -> str:
    """Names that were perhaps meant, as a sentence."""
    spelled = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), spelled, n=3)
    return f"Did you mean {' or '.join(spelled[each] for each in close)}?" if close else ""


def _field(raw: Mapping[str, Any]) -> RemoteField:
    kind = KINDS.get(raw["type"], FieldKind.OTHER)
    number = kind in _NUMBERS
    nillable, createable = raw.get("nillable", True), raw.get("createable", False)
    return RemoteField(
        name=raw["name"],
        kind=kind,
        label=raw.get("label") or "",
        length=raw.get("length") or None,
        precision=(raw.get("digits") or raw.get("precision") or None) if number else None,
        scale=raw.get("scale", 0) if number else None,
        options=tuple(option["value"] for option in raw.get("picklistValues") or () if option.get("active", True)),
        restricted=raw.get("restrictedPicklist", False),
        # a checkbox is never nillable and never missing: it is false
        required=createable and not nillable and not raw.get("defaultedOnCreate", False)
        and kind is not FieldKind.BOOLEAN,
        createable=createable,
        updateable=raw.get("updateable", False),
        nillable=nillable,
        unique=raw.get("unique", False),
        external_id=raw.get("externalId", False) or raw.get("idLookup", False),
        case_sensitive=raw.get("caseSensitive", False),
        refers_to=tuple(raw.get("referenceTo") or ()),
        calculated=raw.get("calculated", False),
        filterable=raw.get("filterable", True),
    )  # fmt: skip
