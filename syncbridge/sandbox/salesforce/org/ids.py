"""Record ids: 15 case-sensitive characters, or 18 with a checksum; the API answers 18 and accepts both."""

from __future__ import annotations

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "8K0"
BODY_LENGTH = 9


def checksum(short: str) -> str:
    """Return the three characters that make a 15-character id safe to compare without case."""
    return "".join(
        CHECKSUM[sum(1 << bit for bit in range(5) if "A" <= short[start + bit] <= "Z")] for start in (0, 5, 10)
    )


def make_id(prefix: str, number: int) -> str:
    """Return the 18-character id of the record with this number; later numbers sort later."""
    body = ""
    for _ in range(BODY_LENGTH):
        number, digit = divmod(number, 62)
        body = ALPHABET[digit] + body
    short = prefix + INSTANCE + body
    return short + checksum(short)


def to_18(text: str) -> str | None:
    """Return the 18-character form of an id given in either form, or None when it is not one."""
    if not (text.isascii() and text.isalnum()):
        return None
    if len(text) == 15:
        return text + checksum(text)
    if len(text) == 18:
        return _restore_case(text)
    return None


def _restore_case(text: str) -> str | None:
    """The checksum holds the case of every letter, so an id that lost its case can be mended."""
    if text[15:] == checksum(text[:15]):
        return text
    suffix = text[15:].upper()
    if any(char not in CHECKSUM for char in suffix):
        return None
    letters = [
        char.upper() if CHECKSUM.index(suffix[at // 5]) >> (at % 5) & 1 else char.lower()
        for at, char in enumerate(text[:15])
    ]
    short = "".join(letters)
    return short + suffix if checksum(short) == suffix else None
