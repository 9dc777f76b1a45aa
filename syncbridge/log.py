"""Log lines of the worker: one event a line, `key=value`, to standard error. Never a value of a row, never a secret."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

#: Libraries that say too much at INFO.
_QUIET = ("urllib3", "httpx", "httpcore", "simple_salesforce", "asyncio")


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = f"{moment} {record.levelname.lower():7} {record.threadName}: {record.getMessage()}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def start(*, verbose: bool = False) -> None:
    """Send log lines of the package to standard error."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(_Format())
    root = logging.getLogger()
    root.handlers[:] = [output]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
