"""What the two sides look like, as values: tables of Postgres and objects of a destination.

They lie below mapping, source and destinations, so that a mapping can be checked against both without any of these
importing another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class FieldKind(StrEnum):
    """The kinds of remote field that a mapping can meet, common to all destinations."""

    STRING = "string"
    TEXT = "text"  # long text
    EMAIL = "email"
    PHONE = "phone"
    URL = "url"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"  # with precision and scale
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    PICKLIST = "picklist"
    MULTIPICKLIST = "multipicklist"
    REFERENCE = "reference"  # holds a remote id
    IDENTIFIER = "id"
    OTHER = "other"  # compound, binary: cannot be mapped


@dataclass(frozen=True, slots=True)
class RemoteField:
    """One field as the destination describes it."""

    name: str
    kind: FieldKind
    label: str = ""
    length: int | None = None  # characters, None when unlimited or not a string
    precision: int | None = None  # digits in all
    scale: int | None = None  # digits after the point
    options: tuple[str, ...] = ()  # active picklist values
    restricted: bool = False  # only `options` are accepted
    required: bool = False  # must be given on create
    createable: bool = True
    updateable: bool = True
    nillable: bool = True
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    refers_to: tuple[str, ...] = ()  # objects a REFERENCE may point at
    calculated: bool = False
    filterable: bool = True  # records can be found by it

    @property
    def read_only(self) -> bool:
        """The destination fills it by itself: nobody can write it."""
        return self.calculated or not (self.createable or self.updateable)

    def comparable(self, value: object) -> object:
        """A value in normal form as the destination compares it: equal results are equal there."""
        return value.lower() if isinstance(value, str) and not self.case_sensitive else value


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """One object as the destination describes it. Names are looked up as the destination compares them."""

    name: str
    fields: Mapping[str, RemoteField]
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or of a described query."""

    name: str
    type: str  # as format_type() shows it: `character varying(80)`, `numeric(12,2)`
    type_oid: int = 0
    base_type: str = ""  # without modifier, domains resolved: `varchar`, `numeric`, `text[]`; enums as `enum`
    not_null: bool = False
    length: int | None = None  # of varchar(n) and char(n), and of the elements of their arrays
    precision: int | None = None
    scale: int | None = None  # digits after the point, also those of seconds
    has_default: bool = False
    generated: bool = False
    options: tuple[str, ...] = ()  # labels of an enum
    readable: bool = True  # the login may select it
    insertable: bool = True  # the login may fill it in new rows
    updatable: bool = True  # the login may change it
    sequence: str = ""  # that it owns and takes its default from, as SQL names it
    drawable: bool = True  # the login may draw from that sequence, and move it
    deterministic: bool = True  # texts are equal only when their characters are; false with some collations


@dataclass(frozen=True, slots=True)
class Table:
    """One table as the catalog describes it."""

    schema: str
    name: str
    columns: Mapping[str, Column]
    oid: int = 0
    primary_key: tuple[str, ...] = ()
    unique_keys: tuple[tuple[str, ...], ...] = ()  # unique indexes that are valid, not partial, over plain columns
    replica_identity: str = "d"  # d default, n nothing, f full, i index
    identity_columns: tuple[str, ...] = ()  # columns that an old key carries
    kind: str = "r"  # r table, p partitioned, v view, m materialised view, f foreign
    persistence: str = "p"  # p permanent, u unlogged, t temporary
    rows: int = 0  # the planner's estimate
    readable: bool = True
    deletable: bool = True  # the login may delete rows
    owned: bool = True  # the login may put it in a publication
    row_security: bool = False  # policies hide rows from the login
    unlike_partitions: tuple[tuple[str, str], ...] = ()  # as SQL names them, and their identity: another, and not full
    index_names: Mapping[tuple[str, ...], str] = field(default_factory=dict)  # of unique_keys, quoted as SQL wants them
    indexed: tuple[tuple[str, ...], ...] = ()  # columns of every index that finds rows by equality, unique or not

    @property
    def qualified(self) -> str:
        """`schema.name`, for people."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of one table that name a row of another."""

    table: tuple[str, str]
    columns: tuple[str, ...]
    to_table: tuple[str, str]
    to_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """The tables a set of mappings speaks of, and what the server can do."""

    tables: Mapping[tuple[str, str], Table]
    server_version: int = 0  # server_version_num: 180006
    wal_level: str = "logical"
    max_replication_slots: int = 0
    free_replication_slots: int = 0
    max_wal_senders: int = 0
    free_wal_senders: int = 0
    can_replicate: bool = True  # the login has REPLICATION (or the provider's equivalent)
    can_create: bool = True  # the login may create a schema in this database
    user: str = ""
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)  # others worth a finding: wal_sender_timeout ...
    slots: frozenset[str] = frozenset()  # logical slots of this database
    publications: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)  # name -> published tables
    near: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)  # missing table -> similar names
    saved_in: str = ""  # the file it was read from; empty when the server itself told it


@dataclass(frozen=True, slots=True)
class QueryFault:
    """What Postgres says against a query that was only described."""

    message: str
    position: int = 0  # of the character at fault, from 1; 0 when not told
    hint: str = ""
    code: str = ""  # SQLSTATE


@dataclass(frozen=True, slots=True)
class Watch:
    """Changes of one table make keys of one mapping.

    Without `relation` the texts of `columns` are an entity's key. With one, they are what its rows are joined by: which
    entities that concerns has to be looked up. `related` says that the table is not the mapping's own, so that its
    truncation may concern any entity.
    """

    mapping_id: int
    schema: str
    table: str
    columns: tuple[str, ...]
    relation: str = ""
    related: bool = False
