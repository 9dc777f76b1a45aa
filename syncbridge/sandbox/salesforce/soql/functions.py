"""SOQL's functions as SQL: parts of dates (in UTC; the fiscal year is the calendar's) and aggregates."""

from __future__ import annotations

from dataclasses import replace

from syncbridge.sandbox.salesforce.org.model import NUMBER_TYPES, Field
from syncbridge.sandbox.salesforce.soql.names import Names
from syncbridge.sandbox.salesforce.soql.tree import Call, Operand, Path

#: Dates and datetimes are stored as text that begins with YYYY-MM-DD.
DAY = "substr({0}, 1, 10)"
YEAR = "cast(substr({0}, 1, 4) as integer)"
MONTH = "cast(substr({0}, 6, 2) as integer)"
QUARTER = f"(({MONTH} + 2) / 3)"
DAY_IN_MONTH = "cast(substr({0}, 9, 2) as integer)"
DAY_IN_YEAR = f"cast(strftime('%j', {DAY}) as integer)"
DATE_FUNCTIONS = {
    "calendar_year": YEAR, "fiscal_year": YEAR, "calendar_quarter": QUARTER, "fiscal_quarter": QUARTER,
    "calendar_month": MONTH, "fiscal_month": MONTH, "day_in_month": DAY_IN_MONTH, "day_in_year": DAY_IN_YEAR,
    "day_in_week": f"(strftime('%w', {DAY}) + 1)", "week_in_month": f"(({DAY_IN_MONTH} + 6) / 7)",
    "week_in_year": f"(({DAY_IN_YEAR} + 6) / 7)", "day_only": DAY,
    "hour_in_day": "cast(substr({0}, 12, 2) as integer)",
}  # fmt: skip
DATETIME_ONLY = frozenset({"day_only", "hour_in_day", "converttimezone"})
NUMBERS = NUMBER_TYPES | {"int"}
#: What no aggregate takes (SOQL guide, Support for Field Types in Aggregate Functions).
NEVER_AGGREGATED = frozenset({"boolean", "address", "multipicklist"})


def column_of(names: Names, operand: Operand) -> tuple[str, Field]:
    """Return the SQL of a field or of a function of one, and its field with the type that the result has."""
    if isinstance(operand, Path):
        return names.column(operand)
    if operand.name in DATE_FUNCTIONS:
        return _date_part(names, operand)
    if operand.name == "tolabel":
        return column_of(names, _argument(names, operand))
    if operand.name == "format":
        raise names.malformed(operand.at, "FORMAT() is for the SELECT clause only")
    if operand.is_aggregate:
        raise names.malformed(operand.at, f"{operand.name.upper()}() is allowed in SELECT, HAVING and ORDER BY only")
    raise names.malformed(operand.at, "convertTimezone() is for the arguments of date functions only")


def _argument(names: Names, call: Call) -> Operand:
    if call.argument is None:
        raise names.malformed(call.at, f"{call.name.upper()}() needs a field")
    return call.argument


def _date_part(names: Names, call: Call) -> tuple[str, Field]:
    argument = _argument(names, call)
    if isinstance(argument, Call) and argument.name == "converttimezone":
        sql, known = names.column(path_of(argument))
        allowed: tuple[str, ...] = ("datetime",)
    else:
        sql, known = column_of(names, argument)
        allowed = ("datetime",) if call.name in DATETIME_ONLY else ("date", "datetime")
    if known.type not in allowed:
        raise names.malformed(call.at, f"field {known.name} does not support function {call.name.upper()}")
    return DATE_FUNCTIONS[call.name].format(sql), replace(known, type="date" if call.name == "day_only" else "int")


def aggregate_of(names: Names, call: Call) -> tuple[str, Field]:
    """Return the SQL of an aggregate function of a field, and the field with the type that the result has."""
    sql, known = column_of(names, _argument(names, call))
    kept = replace(known, length=255)
    if (
        known.type in NEVER_AGGREGATED
        or known.is_long_text
        or (call.name in ("sum", "avg") and known.type not in NUMBERS)
    ):
        raise names.malformed(call.at, f"field {known.name} does not support aggregate operator {call.name.upper()}")
    if call.name in ("count", "count_distinct"):
        return f"count({'distinct ' if call.name == 'count_distinct' else ''}{sql})", replace(kept, type="int")
    if call.name == "avg":
        return f"avg({sql})", replace(kept, type="double")
    return f"{call.name}({sql})", kept


def path_of(operand: Operand) -> Path:
    """Return the field inside of functions."""
    while isinstance(operand, Call):
        assert operand.argument is not None
        operand = operand.argument
    return operand


def output_name(operand: Operand) -> str:
    """Return the key of an unaliased field, or of toLabel() and FORMAT() of one, in a record."""
    return path_of(operand).parts[-1]
