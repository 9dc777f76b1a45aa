"""What happened to one record, as a table without its key."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from syncbridge.cli.log import STYLES, described, operation_text
from syncbridge.cli.report import moment_text
from syncbridge.model import Outcome
from syncbridge.store.sync_log import Logged


def history_table(history: Sequence[Logged]) -> Table:
    """Entry by entry, in the order given."""
    made = Table.grid(padding=(0, 2))
    for turn, entry in enumerate(history):
        outcome = Text(entry.outcome, STYLES[Outcome(entry.outcome)])
        title = "" if turn else "history"
        cells = (moment_text(entry.at), entry.direction, operation_text(entry), outcome, described(entry))
        made.add_row(Text(title, "bold"), *cells)
    made.columns[-1].overflow = "fold"
    return made
