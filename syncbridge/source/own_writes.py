"""What the write-ahead log says of our own writes to rows: logical messages in the transaction that makes them.

At its begin one says that the changes are ours. At its end another names the rows that hold just what was agreed on
with the destination: nothing of them is to be sent, so capture leaves them out. Source: Postgres manual,
"pg_logical_emit_message"; such a message needs no right, and comes through the stream where it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from psycopg import Connection

#: Prefix of the message at the begin; it holds the mapping's name.
MARK = "syncbridge.in"
#: Prefix of the message at the end, as `settled` reads it.
SETTLED = "syncbridge.settled"

_EMIT = "select pg_logical_emit_message(true, %s, %s)"


def begin(connection: Connection, mapping: str) -> None:
    """Say that what follows in this transaction are changes of ours, for a mapping of this name.

    (A replication origin would say so too, but takes rights, and one of few places in the whole cluster for each
    session that writes at a time.)
    """
    connection.execute(_EMIT, (MARK, mapping))


def settle(connection: Connection, mapping_id: int, keys: Sequence[str]) -> None:
    """Say at the end of this transaction that these rows, as it leaves them, hold what was agreed on."""
    connection.execute(_EMIT, (SETTLED, orjson.dumps([mapping_id, keys]).decode()))


def settled(content: bytes) -> tuple[int, list[bytes]]:
    """What `settle` said: the mapping, and the keys as the log has them."""
    mapping_id, keys = orjson.loads(content)
    return mapping_id, [key.encode() for key in keys]
