"""`syncbridge init`: a commented starter project. Nothing that exists is overwritten."""

from __future__ import annotations

from pathlib import Path

import click

from syncbridge.cli.schema import schema_text

SETTINGS = """\
# Settings of this project. Secrets do not belong here: see .env.example.
# Every setting can also come from the environment: SYNCBRIDGE_WORKER__BATCH=500.

# mappings = "mappings"                # the folder of mapping files

[source]                               # the Postgres whose changes are delivered
host = "localhost"
port = 5432
user = "syncbridge"                    # needs REPLICATION, and SELECT on the mapped tables
dbname = "app"
# Where changes also come back into rows (`direction: both` or `to_postgres` in a mapping), it writes them:
#     GRANT UPDATE, INSERT, DELETE ON public.people TO syncbridge;
#     GRANT USAGE, UPDATE ON SEQUENCE public.people_id_seq TO syncbridge;
# INSERT and the sequence of the key are for new records, DELETE for `deletes: {to_postgres: delete}`.
# `syncbridge check` says what is missing.
# slot = "syncbridge"                  # replication slot
# publication = "syncbridge"
# slot_lost = "recreate"               # or "stop": a person makes a lost slot anew
# heartbeat = "10s"
# wal_sender_timeout = "60s"

# [store]                              # where the state lives; default: a schema `syncbridge` in the source database
# dsn = "postgresql://syncbridge@localhost/syncbridge_state"
# log_retention = "31d"

# [worker]
# batch = 1000                         # records one claim takes
# lanes = 2                            # deliveries of one mapping at the same time

# [alerts]                             # who is told when something goes wrong; a webhook is a secret: see .env.example
# lag = "15m"
# dead_letters = 100

[destinations.salesforce]              # the name that mapping files use
type = "salesforce"
login = "client_credentials"
instance_url = "https://acme.my.salesforce.com"
client_id = "the consumer key of your connected app"
# Other ways to sign in (jwt, refresh_token, password, session), sandboxes, certificates: docs/salesforce.md
# proxy = "http://proxy.internal:3128"  # else HTTPS_PROXY and NO_PROXY count; with a password: see .env.example
"""

SECRETS = """\
# Copy this file to .env, fill it in, and keep .env out of version control.
SYNCBRIDGE_SOURCE__PASSWORD=
SYNCBRIDGE_DESTINATIONS__SALESFORCE__CLIENT_SECRET=
# SYNCBRIDGE_DESTINATIONS__SALESFORCE__PROXY=http://user:password@proxy.internal:3128
# SYNCBRIDGE_ALERTS__WEBHOOK=https://hooks.slack.com/services/...
"""

IGNORED = """\
.env
"""

MAPPING = """\
# yaml-language-server: $schema=mapping.schema.json
# An example, which nothing reads: mapping files stand in mappings/, and `syncbridge suggest` drafts them.
# One mapping: rows of a table become records of a remote object. Every key is explained in docs/mapping.md.
mapping: people
destination: salesforce                # a name from syncbridge.toml
object: Contact

entity:
  table: public.people
  key: id                              # the primary key or a unique key; a list for several columns
  # where: not is_test                 # SQL; a row that stops passing is treated as gone

# direction: both                      # what changes there comes back into the rows, too; `conflict` decides where both
                                       # sides changed one field. Else only rows are sent: docs/mapping.md, The way back

# A text field on the object, marked as external id and unique: it carries the key, so that a repeat changes nothing.
external_id: External_Key__c

fields:
  FirstName: first_name                # remote field: column
  LastName: {column: last_name, default: Unknown}
  Email: {column: email, sensitive: true}          # never shown in logs
  LeadSource: {constant: Web}
  Description: {sql: "'Signed up on ' || to_char(created_at, 'YYYY-MM-DD')"}
  # Level__c: {column: status, values: {active: Customer, churned: Former}}

deletes: {to_destination: delete}      # delete | ignore | {set: {Active__c: false}}
guard: {deletes: 100 per hour}         # above this the mapping stops and asks
"""

FILES = {
    "syncbridge.toml": SETTINGS,
    ".env.example": SECRETS,
    ".gitignore": IGNORED,
    "example-mapping.yaml": MAPPING,
    "mapping.schema.json": schema_text(),
}


@click.command(short_help="Write a commented starter project.")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path())
def init(folder: Path) -> None:
    """Write syncbridge.toml, .env.example, .gitignore, an example mapping and its JSON Schema into FOLDER, or here.

    Files that exist already are left as they are.
    """
    mappings = folder / "mappings"
    try:
        mappings.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{mappings}: cannot be made: {error.strerror}") from None
    for name, text in FILES.items():
        path = folder / name
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            click.echo(f"kept   {path} (it was there already)")
            continue
        except OSError as error:
            raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
        click.echo(f"wrote  {path}")
    if not _ignores_secrets(folder / ".gitignore"):
        click.echo("Add `.env` to .gitignore: it will hold secrets.")
    click.echo(_next_steps(folder))


def _ignores_secrets(path: Path) -> bool:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip().lstrip("/") in (".env", ".env*", "*.env") for line in lines)


def _next_steps(folder: Path) -> str:
    steps = [
        "edit syncbridge.toml",
        "cp .env.example .env, and fill in the secrets",
        "syncbridge suggest TABLE --to salesforce:OBJECT --write      draft a mapping, as mappings/TABLE.yaml; edit it",
        "syncbridge check      what does not fit yet, and the SQL that mends it",
        "syncbridge setup      put it in force",
        "syncbridge run        deliver",
    ]
    if folder != Path():
        steps.insert(0, f"cd {folder}")
    return "\nNext:\n" + "\n".join(f"  {number}. {step}" for number, step in enumerate(steps, 1))
