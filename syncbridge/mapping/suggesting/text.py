"""How a draft is written: names as YAML and as SQL, lines with their remarks. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from syncbridge.mapping.sql import quoted

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:[ .=]+[A-Za-z_][A-Za-z0-9_]*)*")
_NOT_TEXT = frozenset({"true", "false", "null"})
_WIDEST = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One line of YAML and its remark; one that is not active is a comment that only its mark keeps from counting."""

    text: str
    remark: str = ""
    active: bool = True


def laid_out(lines: Sequence[Line]) -> Iterator[str]:
    """The lines, with their remarks below each other."""
    texts = [line.text if line.active else _marked(line.text) for line in lines]
    remarked = [len(text) for text, line in zip(texts, lines, strict=True) if line.remark]
    width = min(_WIDEST, max(remarked, default=0))
    for text, line in zip(texts, lines, strict=True):
        yield f"{text:<{width}}  # {one_line(line.remark)}" if line.remark else text


def _marked(text: str) -> str:
    """The mark stands where the line's part begins, so that taking it out leaves a line that fits."""
    at = min(len(text) - len(text.lstrip(" ")), 2)
    return f"{text[:at]}# {text[at:]}"


def one_line(text: str) -> str:
    """Without line ends, which would end a comment."""
    return " ".join(text.split())


#: What YAML does not take as it is, beside what JSON escapes (YAML 1.2, 5.1), and what ends a line in YAML 1.1.
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def scalar(text: str) -> str:
    """A text as YAML, also inside of braces."""
    plain = _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT
    if plain:
        return text
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def scalars(texts: Sequence[str]) -> str:
    """One text, or a list of them."""
    return scalar(texts[0]) if len(texts) == 1 else f"[{', '.join(scalar(text) for text in texts)}]"


def table_text(schema: str, name: str) -> str:
    """A table as `split_table` reads it, as YAML."""
    parts = (part if re.fullmatch(r'[^".\s]+', part) else quoted(part) for part in (schema, name))
    return scalar(".".join(parts))


def lawful(name: str, *, dashes: bool = False) -> str:
    """The nearest name that a mapping (with dashes) or a relation may have."""
    made = re.sub(r"[^a-z0-9_-]+" if dashes else r"[^a-z0-9_]+", "_", name.lower())[:55].strip("_-")
    return made if re.match(r"[a-z]", made) else f"t_{made}".rstrip("_")
