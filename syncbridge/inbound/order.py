"""Parents first within a page: new records of one mapping that refer to each other are written one after another. Pure.

A row that is made needs the link of the row that it refers to, and that is written with it. So a page is written in
layers: first what refers to no new record of the page, then what refers to those only, and so on. Records that refer to
each other in a circle come last, together: their lookup waits until the others are there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from syncbridge.destinations.feed import RemoteChange


def layers(
    changes: Mapping[str, RemoteChange], lookups: Collection[str], new: Collection[str]
) -> list[dict[str, RemoteChange]]:
    """The changes of a page, by remote id, in layers; one layer where no `new` record refers to another.

    `lookups` are the fields that refer to records of the mapping itself, `new` the records that have no row yet.
    """
    ahead = {
        remote_id: {
            str(change.fields[name])
            for name in lookups
            if change.fields.get(name) in new and change.fields[name] != remote_id
        }
        for remote_id, change in changes.items()
    }
    found: list[dict[str, RemoteChange]] = []
    written: set[str] = set()
    left = dict(changes)
    while left:
        layer = {id: change for id, change in left.items() if ahead[id] <= written} or left
        found.append(layer)
        written |= layer.keys()
        left = {id: change for id, change in left.items() if id not in layer}
    return found
