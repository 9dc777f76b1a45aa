"""Graph calls: several composites of single records in one request, each in a transaction of its own."""

from __future__ import annotations

from typing import Any

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal
from syncbridge.sandbox.salesforce.rest.composite import Composite, Subrequest, depth_of, read_subrequests
from syncbridge.sandbox.salesforce.rest.subrequests import version_of

MOST_GRAPHS, MOST_NODES, MOST_KINDS, DEEPEST, MOST_FAILURES = 75, 500, 15, 15, 14
OLDEST_NODE = 50.0
HALTED = Refusal("PROCESSING_HALTED", f"Processing was halted after {MOST_FAILURES} graphs failed")

Graph = tuple[str, list[Subrequest]]


class Graphs:
    """The graph call."""

    def __init__(self, composite: Composite) -> None:
        self._composite = composite

    def graph(self, call: Call) -> Reply:
        """POST /composite/graph"""
        answers = []
        failures = 0
        for name, asked in _read(call):
            if failures >= MOST_FAILURES:
                responses, successful = [_halted(each) for each in asked], False
            else:
                responses, successful = self._composite.run(call, asked, all_or_none=True)
            failures += not successful
            answers.append(
                {"graphId": name, "graphResponse": {"compositeResponse": responses}, "isSuccessful": successful}
            )
        return answer({"graphs": answers})


def _read(call: Call) -> list[Graph]:
    """Return the graphs of a call by id, or refuse all of them."""
    given = call.record().get("graphs")
    if not isinstance(given, list) or not given or not all(isinstance(each, dict) for each in given):
        raise Refusal("JSON_PARSER_ERROR", "The body needs a list of graphs under 'graphs'")
    graphs: list[Graph] = []
    for each in given:
        name = each.get("graphId")
        if not isinstance(name, str) or not name[:1].isalnum() or name in [known for known, _ in graphs]:
            raise Refusal("JSON_PARSER_ERROR", f"A graph needs a graphId of its own, not {name!r}")
        graphs.append((name, read_subrequests(each, call.version)))
    _check_limits(graphs)
    return graphs


def _check_limits(graphs: list[Graph]) -> None:
    nodes = [each for _, asked in graphs for each in asked]
    for each in nodes:
        _check_node(each)
    for number, most, what in (
        (len(graphs), MOST_GRAPHS, "graphs"),
        (len(nodes), MOST_NODES, "nodes"),
        (len({_kind_of(each) for each in nodes}), MOST_KINDS, "different kinds of nodes"),
        (max(depth_of(asked) for _, asked in graphs), DEEPEST, "nodes that depend on each other in a row"),
    ):
        if number > most:
            raise Refusal("LIMIT_EXCEEDED", f"A composite graph request can have at most {most} {what}, not {number}")


def _check_node(node: Subrequest) -> None:
    parts = node.resource.split("/")
    recent = version_of(node.url) >= OLDEST_NODE
    if parts[0] != "sobjects" or not 2 <= len(parts) <= 4 or parts[2:] == ["describe"] or not recent:
        text = f"A composite graph takes single records of v{OLDEST_NODE} and later only, not {node.url}"
        raise Refusal("JSON_PARSER_ERROR", text)


def _kind_of(node: Subrequest) -> str:
    """Return version and object of a node: those of another version count as another kind."""
    return "/".join(node.url.strip("/").lower().split("/")[2:5])


def _halted(asked: Subrequest) -> dict[str, Any]:
    return {
        "body": HALTED.as_body(),
        "httpHeaders": {},
        "httpStatusCode": HALTED.status,
        "referenceId": asked.reference,
    }
