"""The command line: one file per command. Nouns look, verbs act.

Exit codes: 0 done; 1 done, and something is not as it should be (findings, dead letters, sides that differ); 2 the
configuration or the call is wrong; 3 something was not reachable or not ready in time; 4 a person must act first;
130 ended by Ctrl-C. A mistake of the user never shows a traceback.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from syncbridge import __version__
from syncbridge.cli.report import complain, exit_code
from syncbridge.errors import SyncbridgeError

#: command -> (module, attribute, what it is for); the modules are imported when asked for, so that `--help` is quick.
COMMANDS = {
    "quickstart": (
        "syncbridge.cli.quickstart",
        "quickstart",
        "Everything in one terminal: Postgres, Salesforce, worker.",
    ),
    "init": ("syncbridge.cli.init", "init", "Write a commented starter project."),
    "suggest": ("syncbridge.cli.suggest", "suggest", "Draft a mapping from both live schemas."),
    "import": ("syncbridge.cli.import_", "import_", "Make mapping files of another product's configuration."),
    "check": ("syncbridge.cli.check", "check", "Verify settings and mappings against both sides."),
    "schema": ("syncbridge.cli.schema", "schema", "Print the JSON Schema of mapping files, for editors."),
    "setup": ("syncbridge.cli.setup", "setup", "Install or upgrade; make a lost slot anew."),
    "plan": ("syncbridge.cli.plan", "plan", "Show what putting the mapping files in force means."),
    "apply": ("syncbridge.cli.plan", "apply", "Put the mapping files in force."),
    "adopt": ("syncbridge.cli.adopt", "adopt", "Link rows to the existing records that they name by remote id."),
    "run": ("syncbridge.cli.run", "run", "Run the worker."),
    "status": ("syncbridge.cli.status", "status", "Show lag, backlog, errors and API budget of every mapping."),
    "alerts": ("syncbridge.cli.alerts", "alerts", "List what is raised, and test where alerts go."),
    "pause": ("syncbridge.cli.pause", "pause", "Stop a mapping; its changes wait."),
    "resume": ("syncbridge.cli.pause", "resume", "Let a paused, halted or guarded mapping go on."),
    "resync": ("syncbridge.cli.resync", "resync", "Compare a mapping's records again."),
    "reconcile": ("syncbridge.cli.reconcile", "reconcile", "Compare both sides of a mapping completely, and repair."),
    "test": ("syncbridge.cli.trial", "test", "Send one record now, and show request and answer."),
    "wait": ("syncbridge.cli.wait", "wait", "Return when all that was committed before is delivered."),
    "log": ("syncbridge.cli.log", "log", "Show what happened to records."),
    "show": ("syncbridge.cli.show", "show", "Tell one record's whole story."),
    "dead": ("syncbridge.cli.dead", "dead", "List deliveries that were given up."),
    "requeue": ("syncbridge.cli.dead", "requeue", "Send dead letters back for another try."),
    "discard": ("syncbridge.cli.dead", "discard", "Drop dead letters for good."),
    "conflicts": (
        "syncbridge.cli.conflicts",
        "conflicts",
        "List entities that are held, and decide what they are.",
    ),
    "sandbox": ("syncbridge.cli.sandbox", "sandbox", "Local servers that speak the destinations' APIs."),
}


class _Commands(click.Group):
    """Loads a command's module when it is used, in the order above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = COMMANDS.get(cmd_name)
        if found is None:
            return None
        command: click.Command = getattr(import_module(found[0]), found[1])
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"no such command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", type=click.Path(dir_okay=False), help="Settings file (default: ./syncbridge.toml).")
@click.version_option(__version__, prog_name="syncbridge")
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """Self-hosted sync between Postgres and the systems sales and marketing live in."""
    context.obj = config


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a documented code."""
    try:
        code = cli.main(arguments, prog_name="syncbridge", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except SyncbridgeError as error:
        complain(error)
        sys.exit(exit_code(error))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:  # `syncbridge log | head`
        sys.stderr.close()
        sys.exit(0)
