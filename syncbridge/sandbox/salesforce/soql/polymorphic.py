"""References to several objects, such as the owner of a lead: what is behind one is shown as the object Name."""

from __future__ import annotations

from dataclasses import dataclass

from syncbridge.sandbox.salesforce.org.model import Field, ObjectType


def _text(name: str, *, name_field: bool = False) -> Field:
    return Field(name=name, label=name, type="string", length=255, name_field=name_field)


#: The object that Salesforce shows instead of the one referred to (Object Reference, Name), in its most used fields.
NAME = ObjectType(
    name="Name",
    label="Name",
    plural="Names",
    prefix="000",
    fields=(
        Field(name="Id", label="Name ID", type="id", length=18, nillable=False),
        _text("Name", name_field=True),
        *(_text(each) for each in ("FirstName", "LastName", "Type", "Alias", "Email", "Phone", "Title", "Username")),
        Field(name="IsActive", label="Active", type="boolean"),
    ),
)


@dataclass(frozen=True, slots=True)
class Joined:
    """What a path leads to in the SQL: a table, or several of which at most one has a row, then shown as Name."""

    target: ObjectType
    alias: str
    members: tuple[tuple[str, ObjectType], ...] = ()

    def column(self, field: Field) -> str:
        """Return the SQL of a field."""
        if not self.members:
            return f'{self.alias}."{field.name}"'
        if field.name == "Type":
            cases = " ".join(f"when {alias}.\"Id\" is not null then '{each.name}'" for alias, each in self.members)
            return f"case {cases} end"
        found = [column for alias, each in self.members if (column := _same(field, alias, each))]
        if len(found) <= 1:
            return found[0] if found else "null"
        return f"coalesce({', '.join(found)}){'' if field.name == 'Id' else ' collate nocase'}"

    def member(self, name: str) -> Joined | None:
        """Return one of several tables, by the name of its object."""
        return next((Joined(each, alias) for alias, each in self.members if each.name.lower() == name.lower()), None)


def _same(field: Field, alias: str, target: ObjectType) -> str | None:
    """Return the column of an object that stands for a field of Name."""
    if field.name_field:
        known = next((each for each in target.fields if each.name_field), None)
    else:
        known = target.find(field.name)
    return f'{alias}."{known.name}"' if known is not None else None
