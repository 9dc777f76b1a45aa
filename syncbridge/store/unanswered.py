"""What is being sent of two-way records, kept until its answer is settled.

When an answer is lost, or a worker dies, our own value may stand in the destination while the row already holds a
newer one. By what was sent a poll knows that value as ours: nobody there changed anything.
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from psycopg import Connection

from syncbridge.arrays import json_array, text_array
from syncbridge.model import Fields
from syncbridge.store import database

# What was sent before, with a lost answer as well, stays beside it.
_REMEMBER = """
update syncbridge.outbox o
   set sent = case when o.resend then coalesce(o.sent, '[]') else '[]' end || jsonb_build_array(given.fields)
  from unnest(%(keys)s, %(fields)s) as given (key, fields) cross join lateral
       (select ctid from syncbridge.outbox
         where mapping_id = %(mapping)s and key = given.key and claim = %(claim)s offset 0 for update) as found
 where o.ctid = found.ctid
"""


def remember(connection: Connection, mapping_id: int, claim: int, sending: Mapping[str, Fields]) -> None:
    """Write down, before a call is made, what it sends of rows of this claim: key -> fields in normal form.

    It is forgotten when they are settled with an answer. Rows of other claims are left alone.
    """
    if not sending:
        return
    keys = sorted(sending)
    parameters = {
        "mapping": mapping_id,
        "claim": claim,
        "keys": text_array(keys),
        "fields": json_array(orjson.dumps(sending[key]) for key in keys),
    }
    database.transact(connection, lambda: connection.execute(_REMEMBER, parameters))
