"""What random steps choose from."""

from __future__ import annotations

from hypothesis import strategies as st

from syncbridge.outbound import recording
from syncbridge.source import row_writes
from syncbridge.store import claims, held_changes, held_records, links, outbox, rechecks, sync_log, watermarks
from syncbridge.store.decisions import RETRY
from syncbridge.store.held_records import CREATE, IGNORE, LINK
from tests.convergence.mappings import NAMES
from tests.convergence.project import LANES

KEYS = {"companies": (1, 2), "people": (1, 2, 3)}

NAME = st.sampled_from(NAMES)
WHO = st.sampled_from([(name, key) for name in NAMES for key in (*KEYS[name], -1)] + [("people", 1)] * 3)
PERSON, COMPANY = st.sampled_from((*KEYS["people"], -1)), st.sampled_from((None, *KEYS["companies"], -1))
SHAPE = st.sampled_from((0, 1, 2, 3, 4))
PICK = st.lists(st.integers(0, 5), min_size=1, max_size=2)
LANE = st.integers(0, LANES - 1)
CALL = st.sampled_from(("upsert", "delete", "read", "changes", "current", "scan"))
TROUBLE = st.sampled_from(("lost answer", "lost answer", "unavailable", "quota", "session"))
#: Where a lane, and a poller, can be killed.
IN_DELIVERY = st.sampled_from(
    [
        (recording, "settle"),
        (claims, "finish"),
        (links, "upsert"),
        (sync_log, "append"),
        (recording.Recorder, "_draw_conclusions"),
    ]
)
IN_POLL = st.sampled_from(
    [
        (held_changes, "hold"),
        (held_records, "release"),
        (links, "upsert"),
        (sync_log, "append_incoming"),
        (rechecks, "add"),
        (rechecks, "remove"),
        (watermarks, "advance"),
        (outbox, "make_due"),
        (row_writes, "change"),
    ]
)  # fmt: skip
#: What may happen while a call is under way.
AMID = st.one_of(
    st.tuples(st.just("edit_here"), WHO, PICK, SHAPE),
    st.tuples(st.just("edit_there"), WHO, PICK, SHAPE),
    st.tuples(st.just("delete_here"), WHO),
    st.tuples(st.just("delete_there"), WHO),
    st.tuples(st.just("capture")),
    st.tuples(st.just("deliver"), NAME),
    st.tuples(st.just("poll"), NAME),
    st.tuples(st.just("load"), NAME),
    st.tuples(st.just("usurp"), NAME),
    st.tuples(st.just("amend")),
)
DECISION = st.sampled_from((RETRY, CREATE, IGNORE, LINK))
