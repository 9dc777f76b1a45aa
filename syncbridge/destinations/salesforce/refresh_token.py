"""The refresh token, where an org gives a new one at every use (refresh token rotation).

A rotated token replaces the old one, which is worth nothing from then on. It is kept in `refresh_token_file`, so that
the next start finds it; several processes of one machine take turns by a lock beside that file. Without a file it is
kept in memory only.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from syncbridge.destinations.salesforce.settings import SalesforceSettings
from syncbridge.errors import LoginRefused

log = logging.getLogger("syncbridge.salesforce")


class RefreshTokens:
    """The refresh tokens of one destination, newest first. One thread at a time (the caller's lock)."""

    def __init__(self, settings: SalesforceSettings) -> None:
        self._file = settings.refresh_token_file
        self._given = settings.refresh_token.get_secret_value() if settings.refresh_token is not None else ""
        self._rotated = ""  # in memory, where it could not be written

    @contextmanager
    def in_use(self) -> Iterator[tuple[list[str], Callable[[str], None]]]:
        """The tokens to try, and what keeps a rotated one. No other process rotates meanwhile.

        Raises LoginRefused when there is none.
        """
        with self._locked():
            found = list(dict.fromkeys(filter(None, (self._rotated, self._read(), self._given))))
            if not found:
                raise LoginRefused(
                    "There is no refresh token.",
                    code="NO_REFRESH_TOKEN",
                    hint=f"Write one into {self._file}, or set `refresh_token`.",
                )
            yield found, self._keep

    def _keep(self, token: str) -> None:
        if self._file is None:
            self._rotated = token
            log.warning("Salesforce rotated the refresh token, which is kept in memory only: set `refresh_token_file`")
            return
        try:
            _write(self._file, token)
            self._rotated = ""
        except OSError as error:
            self._rotated = token
            log.warning("the rotated refresh token cannot be written to %s: %s", self._file, error.strerror)

    def _read(self) -> str:
        if self._file is None:
            return ""
        try:
            return self._file.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError):
            raise LoginRefused(
                f"refresh_token_file: {self._file} cannot be read.", hint="It holds the refresh token and nothing else."
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone on this machine; a folder that cannot be written to has nobody who rotates, and needs no lock."""
        lock = None
        if self._file is not None:
            with suppress(OSError):
                lock = os.open(self._file.with_name(f"{self._file.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            if lock is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            if lock is not None:
                os.close(lock)


def _write(path: Path, token: str) -> None:
    """Replace a file at once: a crash leaves the old token or the new one, readable by its owner alone."""
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(descriptor)
    os.replace(beside, path)
