"""What another direction of a mapping means, in words for `plan`."""

from __future__ import annotations

from collections.abc import Iterator

from syncbridge.mapping.spec import MappingSpec


def means_of_direction(before: MappingSpec | None, after: MappingSpec, *, held: int) -> Iterator[str]:
    """What begins and what ends; nothing where changes of the destination came in before as they do now.

    Of `held` rows a remote change is held.
    """
    came = before is not None and before.direction != "to_destination"
    comes = after.direction != "to_destination"
    if comes and not came:
        yield (
            f"all records of {after.object} are read first and merged with their rows: what differs is decided by"
            " `conflict` and `owner`, and rows may change; nothing is sent before that is over"
        )
    elif came and not comes:
        yield f"changes in {after.object} do not come into the rows any more, and what is held of them is forgotten"
        if held:
            one = "the row of which a change is held goes out as it is"
            several = f"the {held:,} rows of which a change is held go out as they are"
            yield f"{one if held == 1 else several}: Postgres has its way"
