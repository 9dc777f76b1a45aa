"""What the documents say is so: commands exist, snippets parse, exit codes and words are the program's."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from syncbridge.answers.status import CaptureState, DestinationState, MappingState, Snapshot
from syncbridge.answers.waiting import Waited
from syncbridge.cli import COMMANDS, cli
from syncbridge.mapping.files import parse_mapping, read_mappings
from syncbridge.store.backlog import Waiting
from syncbridge.store.sync_log import Logged

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_INVOCATION = re.compile(r"(?:`|^\$ )syncbridge ([a-z-]+)((?: [^`\n#]*)?)", re.MULTILINE)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    pages = "\n".join(_text(path) for path in DOCUMENTS)
    assert re.search(rf"\b(?:syncbridge|make) {name}\b", pages), f"no page shows `syncbridge {name}`"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_line_in_a_document_is_one_that_exists(path: Path) -> None:
    context = click.Context(cli)
    for name, rest in _INVOCATION.findall(_text(path)):
        command = cli.get_command(context, name)
        assert command is not None, f"{path.name}: there is no command {name!r}"
        known = {option for parameter in _parameters(command, rest) for option in parameter.opts}
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in known | {"--help"}, f"{path.name}: `syncbridge {name}` has no option {option}"


def _parameters(command: click.Command, rest: str) -> list[click.Parameter]:
    if isinstance(command, click.Group):
        names = [word for word in rest.split() if word in command.commands]
        return [*command.params, *(p for name in names for p in command.commands[name].params)]
    return command.params


def test_the_mapping_on_the_first_page_is_one_that_works() -> None:
    snippets = re.findall(r"```yaml\n(.*?)```", _text(ROOT / "README.md"), re.DOTALL)
    assert [parse_mapping(snippet).mapping for snippet in snippets] == ["people"]


def test_the_example_mappings_are_read_without_a_mistake() -> None:
    assert {spec.mapping for spec in read_mappings(ROOT / "mappings")} == {"companies", "orders", "people"}


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ("`status`", {"findings", *Snapshot.__dataclass_fields__}),
        ("`status`, `mappings`", set(MappingState.__dataclass_fields__)),
        ("`status`, `capture`", set(CaptureState.__dataclass_fields__)),
        ("`status`, `destinations`", set(DestinationState.__dataclass_fields__)),
        ("`log`, one document a line", set(Logged.__dataclass_fields__)),
        ("`dead`", set(Waiting.__dataclass_fields__)),
        ("`wait`", {*Waited.__dataclass_fields__, "pending", "dead", "waiting"}),
    ],
)
def test_the_fields_of_json_are_those_that_are_documented(row: str, names: set[str]) -> None:
    page = _text(ROOT / "docs" / "operations.md")
    cells = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", page, re.MULTILINE)
    assert len(cells) == 1
    assert set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", cells[0]))) == names


def test_links_between_documents_lead_somewhere() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", _text(path)):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target} does not exist"


def test_make_targets_on_the_first_page_exist() -> None:
    makefile = _text(ROOT / "Makefile")
    for target in set(re.findall(r"(?:`|\$ )make ([a-z]+)", _text(ROOT / "README.md"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_ci_script_runs_what_the_first_page_says() -> None:
    script = _text(ROOT / ".ci" / "run")
    assert "make test" in script
    assert "make lint" in script
