"""SOQL text as tokens, and errors that point into it the way Salesforce's do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal

LONGEST_QUERY = 100_000
SHOWN_BEFORE, SHOWN_AFTER = 40, 20
TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d(?!\w))
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::\d+)?)
  | (?P<operator><=|>=|!=|<>|=|<|>)
  | (?P<mark>[(),])
  | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `at` is its place in the text."""

    kind: str
    text: str
    at: int

    def word(self) -> str:
        """Return the token in lower case, for comparison with a keyword."""
        return self.text.lower()


class Source:
    """The text of one query; makes the errors about it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def tokens(self) -> list[Token]:
        """Return all tokens with an `end` at the end."""
        if len(self.text) > LONGEST_QUERY:
            raise Refusal("MALFORMED_QUERY", f"SOQL statements cannot be longer than {LONGEST_QUERY} characters.")
        tokens: list[Token] = []
        at = 0
        while not tokens or tokens[-1].kind != "end":
            match = TOKEN.match(self.text, at)
            if match is None:
                raise self._bad_character(at)
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match[kind], match.start(kind)))
            at = match.end()
        return tokens

    def malformed(self, token: Token, message: str | None = None) -> Refusal:
        """Return the refusal of a query that is not SOQL at this token."""
        shown = token.text if token.kind != "end" else "<EOF>"
        return self.refusal("MALFORMED_QUERY", token.at, message or f"unexpected token: '{shown}'")

    def refusal(self, code: str, at: int, message: str) -> Refusal:
        """Return a refusal that shows the place in the query before the message."""
        line_start = self.text.rfind("\n", 0, at) + 1
        row, column = self.text.count("\n", 0, at) + 1, at - line_start + 1
        start = max(line_start, at - SHOWN_BEFORE)
        excerpt = self.text[start : at + SHOWN_AFTER].split("\n")[0]
        pointer = " " * (at - start) + "^"
        return Refusal(code, f"\n{excerpt}\n{pointer}\nERROR at Row:{row}:Column:{column}\n{message}")

    def _bad_character(self, at: int) -> Refusal:
        at += len(self.text[at:]) - len(self.text[at:].lstrip())
        if self.text[at] == "'":
            return self.refusal("MALFORMED_QUERY", at, "mismatched character '<EOF>' expecting '''")
        return self.refusal("MALFORMED_QUERY", at, f"unexpected token: '{self.text[at]}'")


def unquote(text: str) -> str:
    """Return what a quoted SOQL string stands for."""
    return re.sub(r"\\(.)", lambda match: ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)


def like_pattern(text: str) -> str:
    """Return what a quoted SOQL string stands for after LIKE, where an escaped % or _ or backslash stays escaped."""

    def replace(match: re.Match[str]) -> str:
        return match[0] if match[1] in "%_\\" else ESCAPES.get(match[1], match[1])

    return re.sub(r"\\(.)", replace, text[1:-1], flags=re.DOTALL)
