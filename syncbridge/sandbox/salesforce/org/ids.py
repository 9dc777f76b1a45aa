"""Record ids: 15 case-sensitive characters, or 18 with a checksum; the API answers 18 and accepts both."""

from __future__ import annotations

from functools import lru_cache

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
INSTANCE = "8K0"
BODY_LENGTH = 9


def checksum(short: str) -> str:
    """Return the three characters that make a 15-character id safe to compare without case."""
    return "".join(
        CHECKSUM[sum(1 << bit for bit in range(5) if "A" <= short[start + bit] <= "Z")] for start in (0, 5, 10)
    )


#: The last two characters of an id by their number, with the bits that their case adds to the checksum.
_PAIRS = [(one + two, ("A" <= one <= "Z") << 3 | ("A" <= two <= "Z") << 4) for one in ALPHABET for two in ALPHABET]


def make_id(prefix: str, number: int) -> str:
    """Return the 18-character id of the record with this number; later numbers sort later."""
    high, low = divmod(number, len(_PAIRS))
    start, sums, bits = _start(prefix, high)
    pair, pair_bits = _PAIRS[low]
    return start + pair + sums + CHECKSUM[bits | pair_bits]


@lru_cache(maxsize=64)
def _start(prefix: str, number: int) -> tuple[str, str, int]:
    """All but the last two characters of an id, and what they add to its checksum: the same for thousands in a row."""
    body = ""
    for _ in range(BODY_LENGTH - 2):
        number, digit = divmod(number, len(ALPHABET))
        body = ALPHABET[digit] + body
    start = prefix + INSTANCE + body
    sums = checksum(start + "00")
    return start, sums[:2], CHECKSUM.index(sums[2])


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
