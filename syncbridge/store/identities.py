"""Which system each destination is, the org that our links name: so that no other is taken for it."""

from __future__ import annotations

from psycopg import Connection


def meet(connection: Connection, destination: str, identity: str) -> str:
    """The identity that the links of a destination name; the given one where nothing is linked yet, remembered so."""
    connection.execute(
        "insert into syncbridge.destination_identity as known (destination, identity) values (%s, %s)"
        " on conflict (destination) do update set identity = excluded.identity, since = now()"
        " where known.identity <> excluded.identity and not exists"
        " (select from syncbridge.mapping m where m.destination = known.destination"
        " and exists (select from syncbridge.link l where l.mapping_id = m.id))",
        (destination, identity),
    )
    return read_all(connection)[destination]


def read_all(connection: Connection) -> dict[str, str]:
    """Identity by destination, of those that somebody logged in to."""
    return dict(connection.execute("select destination, identity from syncbridge.destination_identity").fetchall())
