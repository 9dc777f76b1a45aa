"""A new remote record that is no row, as `show --remote-id` tells its story."""

from __future__ import annotations

from rich.text import Text

from syncbridge.answers import held_records
from syncbridge.answers.story import HISTORY
from syncbridge.cli.conflict_show import record_page
from syncbridge.cli.history import history_table
from syncbridge.cli.report import console, find_mapping, print_json
from syncbridge.project import Project
from syncbridge.store import sync_log


def show_held_record(project: Project, mapping: str, remote_id: str, *, json: bool) -> bool:
    """Print what is held of a record, and what happened to it; False when nothing is held."""
    with project.store("show") as store:
        record = held_records.read(store, find_mapping(store, mapping), remote_id)
        history = sync_log.read(store, mapping=mapping, key="", remote_id=remote_id, limit=HISTORY)
    if record is None:
        return False
    if json:
        print_json({"record": record, "history": history})
        return True
    terminal = console()
    for part in record_page(record):
        terminal.print(part, soft_wrap=isinstance(part, Text))
    if history:
        terminal.print()
        terminal.print(history_table(history))
    return True
