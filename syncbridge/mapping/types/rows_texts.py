"""Rows of the table of types: texts, enums, uuids, lists of options, and references."""

from __future__ import annotations

from syncbridge.mapping.types.rows_plain import MISTYPED
from syncbridge.mapping.types.rule import Back, Refused, There, TypeRule
from syncbridge.schemas import FieldKind as F

TEXTS = ("text", "varchar", "bpchar", "citext", "name")
#: In an example: the id of a record that exists; with the suffix that makes it 18 characters, and without.
LONG_ID, SHORT_ID = "(id of 18 characters)", "(id of 15 characters)"

_TEXTS = "Texts"
_LABELS = "Enums and uuids"
_OPTIONS = "Several options"
_REFERENCES = "References"

_TOO_LONG = Refused("TOO_LONG")
_TOO_LONG_THERE = Refused("STRING_TOO_LONG")
_NOT_LISTED = Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
_NO_LABEL = Refused("NOT_A_LABEL")
_COLOURS = "restricted picklist of Red, Green"
_MOODS = "restricted picklist of Sad, Glad"

_OF_TEXTS = (
    TypeRule(
        _TEXTS,
        TEXTS,
        (F.STRING, F.TEXT, F.PHONE, F.URL),
        "The text without blanks and line breaks at its ends. An empty one is null: Salesforce knows no ''. A longer "
        "one than the field holds refuses the record.",
        "The text. Null is null, or '' where the column is not null. A longer one than `varchar(n)`, `char(n)` or "
        "`name` (63 bytes) holds refuses the record.",
        (
            There("Ada", "Ada"),
            There("", None, None),
            There("   ", None, None),
            There("  Ada ", "Ada", "Ada"),
            There('O\'Hara; "東京" \\ é', 'O\'Hara; "東京" \\ é'),
            There(None, None),
            There("one\r\ntwo\n", "one\ntwo", "one\ntwo", column="text", field="textarea"),
            There("too long", _TOO_LONG_THERE, column="text", field="string(5)"),
        ),
        (
            Back(None, "", column="text not null", field="string(20)"),
            Back("too long", _TOO_LONG, column="varchar(5)", field="string(20)"),
            Back("too long", _TOO_LONG, column="char(5)", field="string(20)"),
            Back("東京" * 11, _TOO_LONG, column="name", field="string(40)", why="22 characters, 66 bytes"),
        ),
    ),
    TypeRule(
        _TEXTS,
        TEXTS,
        (F.EMAIL,),
        "As above, in small letters, as Salesforce does. What is no address refuses the record.",
        "As above. Capitals in Postgres stay until the address is changed remotely.",
        (
            There("Ada@Example.com", "ada@example.com", "ada@example.com"),
            There("", None, None),
            There(None, None),
            There("ada at example", Refused("INVALID_EMAIL_ADDRESS")),
        ),
    ),
    TypeRule(
        _TEXTS,
        TEXTS,
        (F.PICKLIST,),
        "As above. A restricted picklist takes its options only, in any case, and stores them as it spells them; any "
        "other text refuses the record.",
        "As above.",
        (
            There("Red", "Red", field=_COLOURS),
            There("red", "Red", "Red", field=_COLOURS),
            There("Mauve", _NOT_LISTED, field=_COLOURS),
            There("Mauve", "Mauve", field="picklist of Red, Green"),
            There("", None, None, field=_COLOURS),
            There(None, None, field=_COLOURS),
        ),
    ),
)

_OF_LABELS = (
    TypeRule(
        _LABELS,
        ("enum",),
        (F.STRING, F.TEXT, F.PICKLIST),
        "The label; as a text. `check` compares the labels with the options of a picklist.",
        "The label that is sent as this text: a picklist may spell it in another case. Any other refuses the record, "
        "as does a text that two labels share.",
        (There("sad", "sad"), There(None, None), There("sad", "Sad", field=_MOODS)),
        (Back("Glad", "glad", field=_MOODS), Back("angry", _NO_LABEL, field="string(20)")),
    ),
    TypeRule(
        _LABELS,
        ("uuid",),
        (F.STRING, F.TEXT),
        "As Postgres writes it: small letters, with hyphens.",
        "A text like that, in any case. Any other refuses the record.",
        (There("0b0f6c0e-0000-4000-8000-00000000000a", "0b0f6c0e-0000-4000-8000-00000000000a"), There(None, None)),
        (
            Back(
                "0B0F6C0E-0000-4000-8000-00000000000A",
                "0b0f6c0e-0000-4000-8000-00000000000a",
                field="string(40)",
            ),
            Back("0b0f6c0e", Refused("NOT_A_UUID"), field="string(40)"),
        ),
    ),
)

_OF_OPTIONS = (
    TypeRule(
        _OPTIONS,
        ("text[]", "varchar[]", "bpchar[]", "citext[]"),
        (F.MULTIPICKLIST,),
        "Its elements, each once, in alphabetical order: a multipicklist keeps neither order nor repetitions. Null "
        "and empty elements are left out; an empty array is null. An element with `;` in it refuses the record, as "
        "does an array of more than one dimension.",
        "An array of the options in alphabetical order. Null is null, or `{}` where the column is not null.",
        (
            There("{b,a}", "a;b", "{a,b}"),
            There("{a,b,a}", "a;b", "{a,b}"),
            There('{"two words","say \\"hi\\""}', 'say "hi";two words', '{"say \\"hi\\"","two words"}'),
            There("{a,NULL}", "a", "{a}"),
            There("{}", None, None),
            There(None, None),
            There('{"a;b"}', MISTYPED),
            There("{{a},{b}}", Refused("NESTED_ARRAY")),
            There("{red}", "Red", "{Red}", field="restricted multipicklist of Red, Green"),
        ),
        (
            Back(None, "{}", column="text[] not null", field="multipicklist of a, b"),
            Back("a;too long", _TOO_LONG, column="varchar(5)[]", field="multipicklist of a, b"),
        ),
    ),
    TypeRule(
        _OPTIONS,
        ("enum[]",),
        (F.MULTIPICKLIST,),
        "Its labels, as above.",
        "The labels that are sent as these options, in alphabetical order of the options. Any other option refuses "
        "the record.",
        (There("{sad,glad}", "glad;sad", "{glad,sad}"), There("{}", None, None), There(None, None)),
        (
            Back("Glad;Sad", "{glad,sad}", field="restricted multipicklist of Sad, Glad"),
            Back("angry;sad", _NO_LABEL, field="multipicklist of sad, glad"),
        ),
    ),
    TypeRule(
        _OPTIONS,
        ("uuid[]",),
        (F.MULTIPICKLIST,),
        "Its uuids, as above.",
        "The uuids. Any other option refuses the record.",
        (There("{0b0f6c0e-0000-4000-8000-00000000000a}", "0b0f6c0e-0000-4000-8000-00000000000a"), There(None, None)),
        (Back("0b0f6c0e", Refused("NOT_A_UUID"), field="multipicklist of a, b"),),
    ),
    TypeRule(
        _OPTIONS,
        (*TEXTS, "enum"),
        (F.MULTIPICKLIST,),
        "The options between its `;`, each once, in alphabetical order.",
        "The options with `;` between them, in alphabetical order; into an enum one label.",
        (
            There("sad", "sad"),
            There("b; a;b", "a;b", "a;b", column="text"),
            There("", None, None, column="text"),
            There(None, None),
        ),
        (Back("glad;sad", _NO_LABEL, column="mood", field="multipicklist of sad, glad"),),
    ),
)

_OF_REFERENCES = (
    TypeRule(
        _REFERENCES,
        TEXTS,
        (F.REFERENCE,),
        "The id of a record, of 15 or 18 characters; 18 are sent. What is no id refuses the record, and so does "
        "Salesforce where no such record is.",
        "The id of 18 characters.",
        (
            There(LONG_ID, LONG_ID),
            There(SHORT_ID, LONG_ID, LONG_ID),
            There("", None, None),
            There(None, None),
            There("Acme", Refused("MALFORMED_ID")),
        ),
        (Back(LONG_ID, _TOO_LONG, column="char(15)", field="reference"),),
    ),
)

TEXTUAL: tuple[TypeRule, ...] = (*_OF_TEXTS, *_OF_LABELS, *_OF_OPTIONS, *_OF_REFERENCES)
