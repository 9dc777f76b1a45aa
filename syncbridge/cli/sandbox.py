"""`syncbridge sandbox`: local servers that speak the destinations' real APIs, to try mappings against."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

NEEDED = ("starlette", "uvicorn", "httptools")
IN_MEMORY = ":memory:"


class _Mistake(click.ClickException):
    """Something the user has to change; printed without a traceback."""

    exit_code = 2


@click.group()
def sandbox() -> None:
    """Local servers that speak the destinations' real APIs, to try mappings against."""


@sandbox.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8910, show_default=True, help="0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--org", type=click.Path(path_type=Path), help="YAML file with custom objects and fields.")
@click.option("--data", default=IN_MEMORY, show_default=True, help="SQLite file that keeps the records.")
@click.option("--token", help="A session id to accept from the start; otherwise one is made up.")
@click.option("--public-key", type=click.Path(path_type=Path), help="PEM file; JWT logins must be signed for it.")
@click.option("--tls", type=click.Path(path_type=Path), help="PEM file with certificate and key, to speak https.")
@click.option("--latency", type=click.IntRange(0), default=0, metavar="MS", help="Milliseconds added to every answer.")
@click.option("--json", "as_json", is_flag=True, help="Print address and credentials as one line of JSON.")
def salesforce(
    port: int,
    host: str,
    org: Path | None,
    data: str,
    token: str | None,
    public_key: Path | None,
    tls: Path | None,
    latency: int,
    as_json: bool,
) -> None:
    """A Salesforce org on this machine, until Ctrl-C.

    Speaks the REST API: logins, describes, records, collections, queries, limits. What it adds for tests lies under
    /sandbox/. See docs/sandbox.md.
    """
    if any(importlib.util.find_spec(each) is None for each in NEEDED):
        raise _Mistake('the sandbox needs more packages: pip install "syncbridge[sandbox]"')
    from syncbridge.sandbox.salesforce.auth import Credentials
    from syncbridge.sandbox.salesforce.org.org_file import OrgFileError
    from syncbridge.sandbox.salesforce.sandbox import Sandbox
    from syncbridge.sandbox.salesforce.server import check_tls, listen, run
    from syncbridge.sandbox.salesforce.store.storage import StorageError

    if tls is not None:
        _check(tls, check_tls)
    try:
        key = public_key.read_text(encoding="utf-8") if public_key else None
        credentials = Credentials(token=token or f"sandbox-{secrets.token_hex(16)}", public_key=key)
        file = None if data == IN_MEMORY else Path(data)
        org_now = Sandbox(org=org, data=file, credentials=credentials, latency=latency / 1000)
    except (OrgFileError, StorageError) as error:
        raise _Mistake(str(error)) from None
    except OSError as error:
        raise _Mistake(f"cannot read {error.filename}: {error.strerror}") from None
    try:
        listener = listen(host, port)
    except OSError as error:
        org_now.close()
        raise _Mistake(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    address = f"{'https' if tls else 'http'}://{host}:{listener.getsockname()[1]}"
    _announce(_facts(address, credentials), as_json=as_json)
    run(org_now, listener, tls)


def _check(tls: Path, check: Callable[[Path], None]) -> None:
    try:
        check(tls)
    except FileNotFoundError:
        raise _Mistake(f"cannot read {tls}: there is no such file") from None
    except OSError as error:
        raise _Mistake(f"{tls} needs a certificate and its private key, both in PEM form: {error}") from None


def _facts(address: str, credentials: Any) -> dict[str, str]:
    return {
        "url": address,
        "user": credentials.user,
        "password": credentials.password,
        "security_token": credentials.security_token,
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "refresh_token": credentials.refresh_token,
        "token": credentials.token,
    }


def _announce(facts: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(facts))
    else:
        for name, value in facts.items():
            click.echo(f"{name.replace('_', ' '):<16}{value}")
        click.echo("Ctrl-C ends it.")
    sys.stdout.flush()
