"""SQL as text: quoting of names, and what can be said of a fragment without a server.

A fragment is the SQL expression of a mapping file. It is trusted as far as its author is (he may read the database
anyway), but it must be one expression that stays inside the parentheses that we put around it.
"""

from __future__ import annotations

import re

_TOKENS = re.compile(
    r"""
      (?P<escaped>   [eE]'(?:[^'\\]|\\.|'')*' )
    | (?P<unended>   [eE](?=') )
    | (?P<string>    '(?:[^']|'')*' )
    | (?P<name>      "(?:[^"]|"")*" )
    | (?P<dollar>    (?<![\w$])\$(?P<tag>[^\W\d]\w*)?\$.*?\$(?P=tag)\$ | (?<![\w$])\$\$.*?\$\$ )
    | (?P<parameter> (?<![\w$])\$\d+ )
    | (?P<word>      [^\W\d][\w$]* )
    | (?P<comment>   --[^\n]* )
    | (?P<block>     /\* )
    | (?P<open>      [(\[] )
    | (?P<close>     [)\]] )
    | (?P<end>       ; )
    | (?P<quote>     ['"] | (?<![\w$])\$(?:[^\W\d]\w*)?\$ )
    | (?P<nul>       \x00 )
    """,
    re.VERBOSE | re.DOTALL,
)
_PAIRS = {")": "(", "]": "["}
_PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
#: Words that are no column's name unless they are quoted: `user` is the session's user.
_RESERVED = re.compile(
    r"""
    all | analyse | analyze | and | any | array | as | asc | asymmetric | authorization | binary | both | case
    | cast | check | collate | collation | column | concurrently | constraint | create | cross | current_catalog
    | current_date | current_role | current_schema | current_time | current_timestamp | current_user | default
    | deferrable | desc | distinct | do | else | end | except | false | fetch | for | foreign | freeze | from | full
    | grant | group | having | ilike | in | initially | inner | intersect | into | is | isnull | join | lateral
    | leading | left | like | limit | localtime | localtimestamp | natural | not | notnull | null | offset | on | only
    | or | order | outer | overlaps | placing | primary | references | returning | right | select | session_user
    | similar | some | symmetric | system_user | table | tablesample | then | to | trailing | true | union | unique
    | user | using | variadic | verbose | when | where | window | with
    """,
    re.VERBOSE,
)


def quoted(name: str) -> str:
    """One identifier, always quoted, so that no name needs care."""
    if not name or "\x00" in name:
        raise ValueError("an identifier is neither empty nor holds NUL")
    return '"' + name.replace('"', '""') + '"'


def lightly_quoted(name: str) -> str:
    """One identifier, quoted only where it needs it: SQL for people."""
    return name if _PLAIN_NAME.fullmatch(name) and not _RESERVED.fullmatch(name) else quoted(name)


def shown(name: str) -> str:
    """A column as a person writes it in a mapping file, with quotes only where it needs them.

    The parentheses keep YAML from taking the first quote for its own.
    """
    written = lightly_quoted(name)
    return written if written == name else f"({written})"


def qualified(*names: str) -> str:
    """Several identifiers joined with dots."""
    return ".".join(quoted(name) for name in names)


def literal(text: str) -> str:
    """A string constant that means the same with standard_conforming_strings on and off."""
    if "\x00" in text:
        raise ValueError("a string constant holds no NUL")
    body = text.replace("'", "''")
    return f" E'{body.replace(chr(92), chr(92) * 2)}'" if "\\" in text else f"'{body}'"


def escaped(fragment: str) -> str:
    """A fragment for a query with parameters: psycopg reads `%` as the start of one."""
    return fragment.replace("%", "%%")


def enclosed(fragment: str) -> str:
    """A fragment in parentheses, ready for a query with parameters; a comment at its end cannot swallow ours."""
    return f"({escaped(fragment.strip())}\n)" if "--" in fragment else f"({escaped(fragment.strip())})"


def split_table(text: str) -> tuple[str, str]:
    """`schema.table` or `table` (then in public); names are exact, and quoted where they hold a dot.

    Raises ValueError with what is wrong.
    """
    parts: list[str] = []
    rest = text
    while True:
        match = re.match(r'"((?:[^"]|"")+)"|([^".\s]+)', rest)
        if match is None:
            raise ValueError("write schema.table; a name with a dot, a space or a quote stands in double quotes")
        parts.append(match[1].replace('""', '"') if match[1] else match[2])
        rest = rest[match.end() :]
        if not rest:
            break
        if not rest.startswith(".") or len(parts) == 2:
            raise ValueError("write schema.table; a name with a dot, a space or a quote stands in double quotes")
        rest = rest[1:]
    return ("public", parts[0]) if len(parts) == 1 else (parts[0], parts[1])


def fragment_fault(fragment: str) -> str:
    """What keeps this text from being one SQL expression, or an empty text."""
    if not fragment.strip():
        return "is empty"
    opened: list[str] = []
    place = 0
    solid = False
    while match := _TOKENS.search(fragment, place):
        solid = solid or bool(fragment[place : match.start()].strip())
        kind, text, place = match.lastgroup, match[0], match.end()
        if fault := _fault_of(kind, text, opened):
            return fault
        if kind == "block":
            place = _after_comment(fragment, match.start())
            if place < 0:
                return "has a comment /* that is never closed"
        solid = solid or kind not in ("comment", "block")
    if opened:
        return f"has an opening {opened[-1]} that is never closed"
    return "" if solid or fragment[place:].strip() else "holds nothing but a comment"


def _fault_of(kind: str | None, text: str, opened: list[str]) -> str:
    """The fault of one token; keeps count of what is open."""
    if kind == "open":
        opened.append(text)
    elif kind == "close":
        if not opened or opened.pop() != _PAIRS[text]:
            return f"has a closing {text} too many"
    elif kind == "end":
        return "holds a semicolon; it must be one expression"
    elif kind in ("quote", "unended"):
        return f"has a quote {text if kind == 'quote' else chr(39)} that is never closed"
    elif kind == "parameter":
        return f"holds the parameter {text}, which has no value here"
    elif kind == "nul":
        return "holds a NUL character"
    return ""


def outside_quotes(fragment: str) -> str:
    """The words of a fragment that are SQL: strings, quoted names and comments are left out."""
    words: list[str] = []
    place = 0
    while match := _TOKENS.search(fragment, place):
        place = match.end()
        if match.lastgroup == "word":
            words.append(match[0])
        elif match.lastgroup == "block":
            place = max(place, _after_comment(fragment, match.start()))
    return " ".join(words)


def identifiers(fragment: str) -> frozenset[str]:
    """Every name that a fragment may speak of, as Postgres stores it; keywords and functions are among them."""
    found = {word.lower() for word in outside_quotes(fragment).split()}
    place = 0
    while match := _TOKENS.search(fragment, place):
        place = match.end()
        if match.lastgroup == "name":
            found.add(match[0][1:-1].replace('""', '"'))
        elif match.lastgroup == "block":
            place = max(place, _after_comment(fragment, match.start()))
    return frozenset(found)


def _after_comment(fragment: str, start: int) -> int:
    """Where a block comment ends (they nest), or -1."""
    depth = 0
    for mark in re.finditer(r"/\*|\*/", fragment[start:]):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return start + mark.end()
    return -1
