"""A SOQL syntax tree to SQL with bound values, with every name and value checked against the org."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.org.model import Field, Org
from syncbridge.sandbox.salesforce.soql.filters import DEEPEST_CHILDREN, Setting, rows_of
from syncbridge.sandbox.salesforce.soql.formats import formatter
from syncbridge.sandbox.salesforce.soql.functions import column_of, path_of
from syncbridge.sandbox.salesforce.soql.names import REFERENCE, Names
from syncbridge.sandbox.salesforce.soql.polymorphic import NAME, Joined
from syncbridge.sandbox.salesforce.soql.statement import ADDRESS_PARTS, Column, Node, Statement
from syncbridge.sandbox.salesforce.soql.tree import Call, FieldGroup, Order, Path, Query, TypeOf

LARGEST_OFFSET = 2000
FIELD_GROUP_LIMIT = 200
MOST_CHILDREN = 20
NO_CHILDREN = (
    "Didn't understand relationship '{}' in FROM part of query call. If you are attempting to use a custom "
    f"relationship, be sure to append the '__r' after the custom relationship name. {REFERENCE}"
)


def compile_query(
    org: Org, query: Query, now: datetime, *, with_deleted: bool = False, child_levels: int = DEEPEST_CHILDREN
) -> Statement:
    """Return the SQL of a query for records, or raise INVALID_FIELD, INVALID_TYPE or MALFORMED_QUERY.

    `child_levels` is how deep child subqueries may be nested: 4 from API version 58.0 on, 1 before (SOQL guide).
    """
    setting = Setting(org, now, with_deleted, child_levels)
    target = setting.target(query)
    return _Compiler(setting, query, Names(org, query, target), 0).statement()


class _Compiler:
    def __init__(self, setting: Setting, query: Query, names: Names, depth: int) -> None:
        self._setting = setting
        self._query = query
        self._names = names
        self._depth = depth
        self._root = Node(names.target, names.root)
        self._columns = [f'{names.root.alias}."seq"']
        self._flat: list[Column] = []

    def statement(self) -> Statement:
        query, names = self._query, self._names
        self._root.id_column = self._column(f'{names.root.alias}."Id"')
        if not query.counted:
            for each in query.fields:
                self._select(each)
        if query.offset > LARGEST_OFFSET:
            raise Refusal("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {LARGEST_OFFSET}")
        condition, values = rows_of(self._setting, names, query)
        order = ", ".join([*(self._order(each) for each in query.order), f'{names.root.alias}."seq"'])
        return Statement(
            target=names.target, root=self._root, columns=self._columns, flat=self._flat, tables=names.tables,
            condition=condition + self._sorted_by_index(), values=values, order=f" order by {order}",
            limit=query.limit, offset=query.offset,
        )  # fmt: skip

    def _column(self, sql: str) -> int:
        self._columns.append(sql)
        return len(self._columns) - 1

    def _select(self, selected: Any) -> None:
        match selected:
            case Path():
                self._select_path(selected)
            case Call():
                self._select_call(selected)
            case FieldGroup():
                self._select_group(selected)
            case TypeOf():
                self._select_types(selected)
            case Query():
                self._select_children(selected)

    def _select_group(self, group: FieldGroup) -> None:
        limit = self._query.limit
        if group.name != "standard" and (limit is None or limit > FIELD_GROUP_LIMIT):
            message = f"The SOQL FIELDS function must have a LIMIT of at most {FIELD_GROUP_LIMIT}"
            raise self._names.malformed(group.at, message)
        for each in self._root.target.fields:
            if group.name == "all" or each.custom == (group.name == "custom"):
                self._select_field(self._root, each, each.name, [])

    def _select_path(self, path: Path) -> None:
        if path.alias:
            raise self._names.malformed(path.at, "only aggregate expressions use field aliasing")
        node, shown, known = self._holder(path)
        self._select_field(node, known, known.name, shown)

    def _select_call(self, call: Call) -> None:
        if call.name not in ("tolabel", "format"):
            column_of(self._names, call)
            message = f"{call.name.upper()}() is allowed in the SELECT clause only with GROUP BY"
            raise self._names.malformed(call.at, message)
        node, shown, known = self._holder(path_of(call))
        name = call.alias or known.name
        if call.name == "format":
            node.formats[name] = formatter(known)
        self._select_field(node, known, name, shown)

    def _holder(self, path: Path) -> tuple[Node, list[str], Field]:
        """Return the node that shows a path's field, the names of the relationships to it, and the field."""
        steps, node, shown = self._names.steps(path), self._root, list[str]()
        for depth in range(1, len(steps)):
            joined = self._names.join(tuple(steps[:depth]), path.at)
            name = str(node.target.by_relationship[steps[depth - 1].lower()].relationship)
            if name in node.types:
                raise self._names.malformed(path.at, f"relationship {name} is selected with TYPEOF already")
            if name not in node.parents:
                node.parents[name] = self._node(joined)
                node.order[name] = None
            node = node.parents[name]
            shown.append(name)
        return node, shown, self._names.field(node.target, steps[-1], path.at)

    def _node(self, joined: Joined) -> Node:
        node = Node(joined.target, joined, self._column(joined.column(joined.target.by_name["id"])))
        if joined.target is NAME:
            node.type_column = self._column(joined.column(NAME.by_name["type"]))
        return node

    def _select_field(self, node: Node, known: Field, name: str, shown: list[str]) -> None:
        path = ".".join([*shown, name])
        if name in node.order:
            raise Refusal("MALFORMED_QUERY", f"duplicate field selected: {path}")
        node.order[name] = None
        if known.type == "address":
            part = node.target.addresses[known.name]
            columns = [self._column(f'{node.joined.alias}."{part}{each}"') for _, each in ADDRESS_PARTS]
            node.fields[name] = (known, columns[0])
        else:
            node.fields[name] = (known, self._column(node.joined.column(known)))
        self._flat.append(Column(path, known, node.fields[name][1], node.formats.get(name)))

    def _select_types(self, types: TypeOf) -> None:
        names, path = self._names, types.path
        steps = names.steps(path)
        joined = names.join(tuple(steps), path.at)
        if joined.target is not NAME:
            raise names.malformed(path.at, f"TYPEOF is for relationships to several objects, {steps[-1]} is to one")
        holder = self._root
        if len(steps) > 1:
            holder, _, _ = self._holder(Path((*path.parts[:-1], "Id"), path.at))
        ref = holder.target.by_relationship[steps[-1].lower()]
        name = str(ref.relationship)
        if name in holder.order:
            raise names.malformed(path.at, f"relationship {name} is selected twice")
        holder.order[name] = None
        nodes = holder.types[name] = []
        for branch in types.branches:
            if branch.object_name.lower() not in (each.lower() for each in ref.reference_to):
                raise names.malformed(branch.at, f"{name} does not refer to {branch.object_name}")
            member = joined.member(branch.object_name)
            if member is not None:  # one that the org does not have is never there
                nodes.append(self._branch(member, branch.fields))
        if types.otherwise:
            nodes.append(self._branch(joined, types.otherwise))

    def _branch(self, joined: Joined, paths: tuple[Path, ...]) -> Node:
        node = self._node(joined)
        for path in paths:
            if len(path.parts) > 1:
                raise self._names.malformed(path.at, "TYPEOF selects fields of the object itself only")
            known = self._names.field(joined.target, path.parts[0], path.at)
            self._select_field(node, known, known.name, [])
        return node

    def _select_children(self, query: Query) -> None:
        names, setting, root = self._names, self._setting, self._root
        if self._depth >= setting.child_levels:
            raise names.malformed(
                query.object_at, f"Child subqueries may be {setting.child_levels} levels deep at most"
            )
        if query.aggregated or query.counted:
            raise names.malformed(query.object_at, "only root queries support aggregate expressions")
        if query.offset and self._query.limit != 1:
            raise names.malformed(query.object_at, "A child subquery can use OFFSET only in a query with LIMIT 1")
        found = setting.org.children_named(names.target.name, query.object_name.rpartition(".")[2])
        if not found:
            raise names.refuse(query.object_at, NO_CHILDREN.format(query.object_name), "INVALID_TYPE")
        target, ref = found[0]
        name = str(ref.child_relationship)
        if name in root.order:
            raise names.malformed(query.object_at, f"Cannot follow the same child relationship twice: {name}")
        root.order[name] = None
        inner = Names(setting.org, query, target, setting.prefix())
        child = root.children[name] = _Compiler(setting, query, inner, self._depth + 1).statement()
        child.parent = inner.root.column(ref)
        if len(root.children) > MOST_CHILDREN:
            raise names.malformed(query.object_at, f"A query may have {MOST_CHILDREN} child subqueries at most")

    def _order(self, order: Order) -> str:
        column, known = column_of(self._names, order.operand)
        if known.is_long_text or known.type in ("address", "multipicklist"):
            raise self._names.refuse(order.operand.at, f"field '{known.name}' can not be sorted in a query call")
        root = self._names.root.alias
        # Ids are given in the order of the rows' numbers, which every index has behind its own column.
        if column == f'{root}."Id"' and order is not self._query.order[0]:
            return f'{root}."seq"{" desc" if order.descending else ""}'
        nulls = f" nulls {'last' if order.nulls_last else 'first'}" if known.nillable else ""
        return f"{column}{' desc' if order.descending else ''}{nulls}"

    def _sorted_by_index(self) -> str:
        """Say that the first sort key is never empty: indices leave out empty values, and help to sort only then."""
        first = self._query.order[0].operand if self._query.order else None
        if not isinstance(first, Path):
            return ""
        column, known = self._names.column(first)
        return f" and {column} is not null" if known.type == "datetime" and not known.nillable else ""
