"""YAML as plain values plus the line of every key and item, so that a mistake can be shown where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path_ = tuple[str | int, ...]


class OrgFileError(Exception):
    """An org file cannot be used; the text says file, line, what is wrong and, if known, the nearest right name."""

    def __init__(self, file: str, line: int, text: str) -> None:
        super().__init__(f"{file}:{line}: {text}")


class LinedYaml:
    """The values of one YAML document and where they stand in it."""

    def __init__(self, file: Path) -> None:
        self.file = str(file)
        self._lines: dict[Path_, int] = {(): 1}
        self.values: Any = self._load(file)

    def line(self, path: Path_) -> int:
        """Return the line of the value at this path, or of the nearest enclosing one."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def error(self, path: Path_, text: str) -> OrgFileError:
        """Return an error that points at the value at this path."""
        where = ".".join(str(each) for each in path)
        return OrgFileError(self.file, self.line(path), f"{where}: {text}" if where else text)

    def _load(self, file: Path) -> Any:
        try:
            node = YAML(typ="safe", pure=True).compose(file.read_text(encoding="utf-8"))
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise OrgFileError(self.file, line, f"not valid YAML: {error.problem}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise OrgFileError(self.file, 1, f"cannot be read: {error}") from error
        return self._value(node, ()) if node is not None else None

    def _value(self, node: Node, path: Path_) -> Any:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._value(each, (*path, at)) for at, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return _scalar(node)

    def _mapping(self, node: MappingNode, path: Path_) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            if key in values:
                raise self.error((*path, key), "given twice")
            values[key] = self._value(value_node, (*path, key))
        return values


def _scalar(node: ScalarNode) -> Any:
    kind = str(node.tag).rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return node.value.lower() == "true"
    if kind == "int":
        return int(node.value.replace("_", ""), 0 if node.value.lower().startswith(("0x", "0o")) else 10)
    if kind == "float":
        return float(node.value)
    return node.value
