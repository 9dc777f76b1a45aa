"""How often Python looks for cycles, in commands that carry records by the million."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_seldom() -> Iterator[None]:
    """Keep Python from looking for cycles after each 700 objects: batches are made of many that live a moment, and
    what they come to is a fifth of the time. There are few cycles: those of errors and their frames.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what was loaded so far lives as long as the process
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
