"""SOSL, as much of it as looks for records: FIND {...} IN ... FIELDS RETURNING Object(fields WHERE ...) LIMIT n."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal

GROUPS = ("all", "name", "email", "phone", "sidebar")
MOST_RESULTS = 2000
HEAD = re.compile(
    r"\s*FIND\s*\{(?P<term>(?:\\.|[^}\\])*)\}\s*(?:IN\s+(?P<group>\w+)\s+FIELDS\b\s*)?(?P<returning>RETURNING\b)?",
    re.IGNORECASE | re.DOTALL,
)
OBJECT = re.compile(r"\s*(\w+)\s*(\()?")
LIMIT = re.compile(r"\s*(?:LIMIT\s+(\d+))?\s*", re.IGNORECASE)
CLAUSES = re.compile(r"\s+(WHERE|ORDER\s+BY|LIMIT|OFFSET)\b", re.IGNORECASE)
QUOTED = re.compile(r"'(?:\\.|[^'\\])*'")
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|[()]|(?:\\.|[^\s"()\\])+')
ESCAPED = re.compile(r"\\(.)")


@dataclass(slots=True)
class Wanted:
    """What is to be shown of an object's matches; `tail` is ORDER BY, LIMIT and OFFSET."""

    object: str
    fields: str = "Id"
    where: str = ""
    tail: str = ""


@dataclass(slots=True)
class Search:
    """A search: a record matches when it has all words of one of the alternatives; those after NOT it must not have."""

    alternatives: list[list[tuple[str, bool]]]
    group: str = "all"
    wanted: list[Wanted] | None = None
    limit: int = MOST_RESULTS


def parse(text: str) -> Search:
    """Return the search that a SOSL text says, or raise MALFORMED_SEARCH."""
    head = HEAD.match(text)
    if head is None:
        raise malformed("a search begins with FIND {words}")
    search = Search(parse_term(head["term"]), group_of(head["group"] or "all"))
    at = head.end()
    if head["returning"]:
        search.wanted, at = _wanted(text, at)
    rest = LIMIT.fullmatch(text, at)
    if rest is None:
        raise malformed(f"not understood, or not supported by the sandbox: {text[at:].strip()}")
    if rest.group(1):
        search.limit = min(int(rest.group(1)), MOST_RESULTS)
    return search


def parse_term(text: str) -> list[list[tuple[str, bool]]]:
    """Return the words of each alternative, with True for those that must not be there."""
    alternatives: list[list[tuple[str, bool]]] = [[]]
    negated = False
    for token in TOKEN.findall(text):
        match token:
            case "AND":
                continue
            case "OR":
                alternatives.append([])
            case "NOT":
                negated = True
            case "(" | ")":
                raise malformed("the sandbox does not support parentheses in search terms")
            case _:
                alternatives[-1].append((token, negated))
                negated = False
    for words in alternatives:
        kept = [literal_of(word) for word, excluded in words if not excluded]
        if not kept or any(len(each.replace("*", "").replace("?", "")) < 2 for each in kept):
            raise malformed("search term must be longer than one character")
    return alternatives


def literal_of(word: str) -> str:
    """Return a word or phrase without quotes and escapes."""
    inner = word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word
    return ESCAPED.sub(r"\1", inner)


def pattern_of(word: str) -> re.Pattern[str]:
    """Return the pattern that finds a word or phrase as a whole; * and ? stand for other letters."""
    inner = word[1:-1] if len(word) > 1 and word[0] == word[-1] == '"' else word
    parts = re.split(r"(\\.|\*|\?)", inner)
    wild = {"*": r"\w*", "?": r"\w"}
    text = "".join(wild.get(each) or re.escape(ESCAPED.sub(r"\1", each)) for each in parts)
    return re.compile(rf"(?<!\w){text}(?!\w)", re.IGNORECASE)


def group_of(name: str) -> str:
    """Return the lower-case name of a search group, or raise MALFORMED_SEARCH."""
    if name.lower() not in GROUPS:
        raise malformed(f"{name} is not one of {', '.join(each.upper() for each in GROUPS)}")
    return name.lower()


def malformed(message: str) -> Refusal:
    """Return the refusal of a search that cannot be read."""
    return Refusal("MALFORMED_SEARCH", message)


def _wanted(text: str, at: int) -> tuple[list[Wanted], int]:
    found = []
    while True:
        match = OBJECT.match(text, at)
        if match is None:
            raise malformed(f"an object is missing after RETURNING: {text[at:].strip()}")
        at = match.end()
        if match.group(2):
            end = _closing(text, at)
            found.append(_inside(match.group(1), text[at:end]))
            at = end + 1
        else:
            found.append(Wanted(match.group(1)))
        comma = re.compile(r"\s*,").match(text, at)
        if comma is None:
            return found, at
        at = comma.end()


def _closing(text: str, at: int) -> int:
    masked = _masked(text)
    depth = 1
    for position in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(masked[position], 0)
        if depth == 0:
            return position
    raise malformed("a closing parenthesis is missing")


def _inside(name: str, text: str) -> Wanted:
    """Read `fields WHERE condition ORDER BY ... LIMIT n`."""
    masked = _masked(text)
    starts = [(match.start(), match.group(1).lower()) for match in CLAUSES.finditer(masked)]
    wanted = Wanted(name, text[: starts[0][0]] if starts else text)
    if starts and starts[0][1] == "where":
        end = starts[1][0] if len(starts) > 1 else len(text)
        wanted.where = text[starts[0][0] : end].strip()[len("where") :]
        starts = starts[1:]
    wanted.tail = text[starts[0][0] :] if starts else ""
    wanted.fields = wanted.fields.strip() or "Id"
    return wanted


def _masked(text: str) -> str:
    """Return a text of the same length whose quoted parts cannot be taken for anything else."""
    return QUOTED.sub(lambda match: "_" * len(match.group()), text)
