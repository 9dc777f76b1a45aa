"""SOQL text as tokens, and errors that point into it the way Salesforce's do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from syncbridge.sandbox.salesforce.errors import Refusal

LONGEST_QUERY = 100_000
SHOWN = 30
TOKEN = re.compile(
    r"""\s*(?:
    (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d))
  | (?P<date>\d{4}-\d\d-\d\d(?!\w))
  | (?P<time>\d\d:\d\d:\d\d(?:\.\d+)?Z)
  | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?!\w))
  | (?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?::\d+)?)
  | (?P<operator><=|>=|!=|<>|=|<|>)
  | (?P<mark>[(),])
  | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
WORD = re.compile(r"\s*(?:'(?:[^'\\]|\\.)*'|[\w.:+-]+|[^\w\s])", re.DOTALL)
ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\"}
WILDCARDS = "%_"


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
        """Return a refusal that shows the place in the query before the message.

        Salesforce shows whole words, on both sides as many as make 30 characters (seen in messages of real orgs).
        """
        line_start = self.text.rfind("\n", 0, at) + 1
        line_end = self.text.find("\n", at)
        row, column = self.text.count("\n", 0, at) + 1, at - line_start + 1
        before, after = self.text[line_start:at], self.text[at : line_end if line_end >= 0 else None]
        excerpt = _last_words(before) + _first_words(after)
        pointer = " " * len(_last_words(before)) + "^"
        return Refusal(code, f"\n{excerpt}\n{pointer}\nERROR at Row:{row}:Column:{column}\n{message}")

    def _bad_character(self, at: int) -> Refusal:
        at += len(self.text[at:]) - len(self.text[at:].lstrip())
        if self.text[at] == "'":
            return self.refusal("MALFORMED_QUERY", at, "mismatched character '<EOF>' expecting '''")
        if self.text[at] == ":":
            return self.refusal("MALFORMED_QUERY", at, "Bind variables only allowed in Apex code")
        return self.refusal("MALFORMED_QUERY", at, f"unexpected token: '{self.text[at]}'")


def _first_words(text: str) -> str:
    end = 0
    while end < SHOWN and (match := WORD.match(text, end)):
        end = match.end()
    return text[:end].rstrip()


def _last_words(text: str) -> str:
    """Return the words before a place with the blanks between; a very long line is cut first."""
    starts = [match.start() for match in WORD.finditer(text[-4 * SHOWN :])]
    text = text[-4 * SHOWN :]
    start = next((each for each in reversed(starts) if len(text[each:].lstrip()) >= SHOWN), 0)
    return text[start:].lstrip()


def illegal_escape(text: str, *, pattern: bool) -> str | None:
    """Return the first backslash sequence that a quoted string may not have, or None."""
    for match in ESCAPE.finditer(text[1:-1]):
        meant = match[1]
        legal = len(meant) == 5 or meant.lower() in ESCAPES or (pattern and meant in WILDCARDS)
        if not legal:
            return match[0]
    return None


def unquote(text: str) -> str:
    """Return what a quoted SOQL string stands for."""
    return ESCAPE.sub(lambda match: _meant(match[1]), text[1:-1]) if "\\" in text else text[1:-1]


def like_pattern(text: str) -> str:
    """Return what a quoted SOQL string stands for after LIKE, where what is escaped is no wildcard."""

    def replace(match: re.Match[str]) -> str:
        meant = match[1] if match[1] in WILDCARDS else _meant(match[1])
        return f"\\{meant}" if meant in "%_\\" else meant

    return ESCAPE.sub(replace, text[1:-1])


def _meant(sequence: str) -> str:
    if len(sequence) == 5:
        return chr(int(sequence[1:], 16))
    return ESCAPES.get(sequence.lower(), sequence)
