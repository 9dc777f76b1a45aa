"""Which column probably fills which remote field, by names, types and lengths. Pure; equal schemas give equal pairs.

The rule: a pair's score is the likeness of its names, less a little where the type fits with a remark only or the value
may be too long; nothing where the type does not fit.

    1.00  the same words (`first_name`, FirstName)        0.95  the words of the field's label
    0.90  a usual name for the field (`surname`, LastName) 0.85  the same words in another order
    0.78  a name that often means it (`title`, Name)      less  words in common, or spelled alike

Pairs are taken from the best downwards, and each column and field once; of equal ones first those with a required
field, then by the order of the columns, then by the field's name. From 0.88 on a pair is *sure*, from 0.7 *likely*; the
rest, down to 0.55, is *perhaps*: something to ask, not to send.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

from syncbridge.mapping.suggesting.words import GENERIC, PLACES, Words, thing, usual, without, words_of
from syncbridge.mapping.types.fit import fit
from syncbridge.schemas import Column, FieldKind, ForeignKey, RemoteField, RemoteObject, Table

_SURE, _LIKELY, _LEAST = 0.88, 0.7, 0.55
#: Filled otherwise, or only by the destination.
_NO_TARGETS = frozenset({FieldKind.REFERENCE, FieldKind.IDENTIFIER, FieldKind.OTHER})
_PERSONAL = frozenset({"email", "phone", "mobile", "fax", "birth", "salutation", "gender", "ssn", "passport", "iban"})
_PERSONAL_NAMES = frozenset({"first", "last", "middle", "full", "given", "family", "maiden", "nick"})
_PERSONAL_KINDS = frozenset({FieldKind.EMAIL, FieldKind.PHONE})


class Sureness(StrEnum):
    """How far a pair is to be trusted."""

    SURE = "sure"
    LIKELY = "likely"
    PERHAPS = "perhaps"


@dataclass(frozen=True, slots=True)
class Pair:
    """A column and the remote field that it probably fills."""

    column: Column
    field: RemoteField
    score: float
    reason: str
    cast: str = ""  # SQL that makes the type fit; the pair does not fit without

    @property
    def sureness(self) -> Sureness:
        """What the score means."""
        if self.score >= _SURE:
            return Sureness.SURE
        return Sureness.LIKELY if self.score >= _LIKELY else Sureness.PERHAPS


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What a mapping of this table to this object could be, and what is open."""

    pairs: tuple[Pair, ...]  # in the order of the columns
    misfits: tuple[Pair, ...]  # of the same name, but of a type that does not fit
    key: tuple[str, ...]
    external_ids: tuple[RemoteField, ...]  # that could carry the key, best first
    columns_left: tuple[Column, ...]
    required_left: tuple[RemoteField, ...]


def suggest(table: Table, remote: RemoteObject, foreign_keys: Sequence[ForeignKey] = ()) -> Suggestion:
    """Pair columns with fields. Columns of the key and of foreign keys are left out: they fill other things."""
    key = choose_key(table)
    external_ids = choose_external_ids(table, remote)
    referring = {column for each in foreign_keys if each.table == (table.schema, table.name) for column in each.columns}
    columns = [each for name, each in table.columns.items() if name not in key and name not in referring]
    carrying = {field.name for field in external_ids[:1]}
    targets = [field for field in remote.fields.values() if _is_target(field) and field.name not in carrying]
    scored = list(_scored(table, remote, columns, targets))
    order = [column.name for column in columns]
    pairs = _best([pair for pair in scored if not pair.cast], order)
    paired, taken = {pair.column.name for pair in pairs}, {pair.field.name for pair in pairs}
    casts = [pair for pair in scored if pair.cast and pair.column.name not in paired and pair.field.name not in taken]
    misfits = _best(casts, order)
    told = paired | {pair.column.name for pair in misfits}
    filled = {pair.field.name for pair in pairs if pair.sureness is not Sureness.PERHAPS}
    return Suggestion(
        pairs=tuple(pairs),
        misfits=tuple(misfits),
        key=key,
        external_ids=external_ids,
        columns_left=tuple(column for column in columns if column.name not in told),
        required_left=tuple(field for field in targets if field.required and field.name not in filled),
    )


def _is_target(field: RemoteField) -> bool:
    return field.createable and field.updateable and not field.calculated and field.kind not in _NO_TARGETS


# -- scores -----------------------------------------------------------------------------------------------------------


def _scored(
    table: Table, remote: RemoteObject, columns: Iterable[Column], fields: Sequence[RemoteField]
) -> Iterator[Pair]:
    owner, object_words = words_of(table.name), words_of(remote.name)
    names = {field.name: without(words_of(field.name), object_words) for field in fields}
    labels = {field.name: without(words_of(field.label), object_words) for field in fields}
    place = _place(names.values())
    for column in columns:
        words = without(words_of(column.name), owner)
        for field in fields:
            score, reason = _likeness(words, names[field.name], labels[field.name], place)
            if score < _LEAST:
                continue
            if score == 1 and "".join(words) not in column.name.lower().replace("_", ""):
                reason = "another way to write it"  # an abbreviation
            yield from _fitting(column, field, score, reason)


def _place(names: Iterable[Words]) -> str:
    """What a plain `city` means here: the first place whose address this object has."""
    held = {words[0] for words in names if len(words) > 1 and words[-1] == "city"}
    return next((place for place in PLACES if place in held), "")


def _likeness(column: Words, field: Words, label: Words, place: str) -> tuple[float, str]:
    if not column or not field:
        return 0.0, ""
    if column == field:
        return 1.0, "the same name"
    if column == label:
        return 0.95, "the name of its label"
    spoken = " ".join(column)
    plain = column[1:] if column[0] == "address" and len(column) > 1 else column
    here = field[1:] if place and field[0] == place else field
    meant = usual(column, here) or usual(plain, here) or ("sure" if plain == here else "")
    if meant:
        return (0.9 if meant == "sure" else 0.78), f"{spoken} {'usually' if meant == 'sure' else 'often'} means it"
    if sorted(column) == sorted(field):
        return 0.85, "the same words"
    return _common(column, field)


def _common(column: Words, field: Words) -> tuple[float, str]:
    """Words in common that say something; else names that are spelled alike."""
    common = set(column) & set(field)
    if common - GENERIC:
        score = 0.92 * 2 * len(common) / (len(set(column)) + len(set(field)))
        return score, f"both say {' '.join(word for word in column if word in common)}"
    one, other = "".join(column), "".join(field)
    alike = SequenceMatcher(None, one, other, autojunk=False).ratio() if min(len(one), len(other)) > 3 else 0
    return (0.8 * alike, "spelled alike") if alike > 0.8 else (0.0, "")


def _fitting(column: Column, field: RemoteField, score: float, reason: str) -> Iterator[Pair]:
    fits = fit(column.base_type, field.kind)
    if fits.severity == "error":
        # a cast is worth asking about only where the names leave no doubt
        if fits.cast and score >= _SURE:
            yield Pair(column, field, score, reason, fits.cast)
        return
    if not column.readable:
        return
    if fits.severity:
        score -= 0.03
    if column.length is not None and field.length is not None and column.length > field.length:
        score -= 0.02
    yield Pair(column, field, round(score, 4), reason)


def _best(scored: Sequence[Pair], order: Sequence[str]) -> list[Pair]:
    """Greedy, one to one; in the order of the columns."""
    place = {name: index for index, name in enumerate(order)}

    def rank(pair: Pair) -> tuple[float, bool, int, str]:
        return (-pair.score, not pair.field.required, place[pair.column.name], pair.field.name)

    taken: dict[str, Pair] = {}
    fields: set[str] = set()
    for pair in sorted(scored, key=rank):
        if pair.column.name not in taken and pair.field.name not in fields:
            taken[pair.column.name] = pair
            fields.add(pair.field.name)
    return sorted(taken.values(), key=lambda pair: place[pair.column.name])


# -- keys and personal data -------------------------------------------------------------------------------------------


def choose_key(table: Table) -> tuple[str, ...]:
    """The primary key, else the shortest unique key without nulls; empty when there is none."""
    if table.primary_key:
        return table.primary_key
    solid = [key for key in table.unique_keys if all(table.columns[name].not_null for name in key)]
    return min(solid, key=lambda key: (len(key), key), default=())


def choose_external_ids(table: Table, remote: RemoteObject) -> tuple[RemoteField, ...]:
    """Fields that could carry the key: external ids that are unique and can be written, best named first."""
    whole = len(key := choose_key(table)) == 1 and table.columns[key[0]].base_type in ("int2", "int4", "int8")
    numbers = (FieldKind.NUMBER, FieldKind.INTEGER)
    found = [
        field
        for field in remote.fields.values()
        if field.external_id and field.unique and _is_target(field) and (whole or field.kind not in numbers)
    ]
    owner = set(words_of(table.name))

    def rank(field: RemoteField) -> tuple[bool, bool, bool, str]:
        words = set(words_of(field.name))
        return (not words & owner, not words & {"key", "external", "id"}, field.kind in numbers, field.name)

    return tuple(sorted(found, key=rank))


def is_personal(column: Column, field: RemoteField | None = None) -> bool:
    """Whether values probably tell of a person: mail, phone, a person's name, a birth date."""
    if field is not None and field.kind in _PERSONAL_KINDS:
        return True
    names = [words_of(column.name), *([words_of(field.name)] if field is not None else [])]
    return any(
        bool(_PERSONAL & set(words)) or ("name" in words and bool(_PERSONAL_NAMES & set(words))) for words in names
    )


def is_mail(pair: Pair) -> bool:
    """Whether a pair is an address of mail, by which people are recognised."""
    found = pair.field.kind is FieldKind.EMAIL and pair.field.filterable
    return found and pair.sureness is not Sureness.PERHAPS


# -- references -------------------------------------------------------------------------------------------------------


def reference_for(
    foreign_key: ForeignKey, remote: RemoteObject, held_by: Mapping[str, str] | None = None
) -> RemoteField | None:
    """The reference field that a foreign key probably fills.

    `held_by`: objects that mappings of the other table write, in small letters; without one any object will do, and the
    names alone decide.
    """
    wanted = [
        field
        for field in remote.fields.values()
        if field.kind is FieldKind.REFERENCE
        and field.createable
        and field.updateable
        and (held_by is None or any(name.lower() in held_by for name in field.refers_to))
    ]
    column = thing(tuple(word for word in words_of(foreign_key.columns[-1]) if word != "id"))
    table = thing(words_of(foreign_key.to_table[1]))

    def likeness(field: RemoteField) -> int:
        words = thing(tuple(word for word in words_of(field.name) if word != "id"))
        return 2 if words == column else 1 if words == table and column[-len(table) :] == table else 0

    best = sorted(wanted, key=lambda field: (-likeness(field), field.name))
    if best and (likeness(best[0]) or (held_by is not None and len(best) == 1)):
        return best[0]
    return None
