"""The Tooling API as far as clients ask it at their start: queries and describes. There is no Apex to run."""

from __future__ import annotations

from syncbridge.sandbox.salesforce.call import Call, Reply, answer
from syncbridge.sandbox.salesforce.errors import Refusal

RESOURCES = ("executeAnonymous", "query", "queryAll", "sobjects")
NO_APEX = "The sandbox runs no Apex"


def resources(call: Call) -> Reply:
    """GET /tooling"""
    return answer({each: f"{call.base}/tooling/{each}" for each in RESOURCES})


def execute_anonymous(call: Call) -> Reply:
    """GET /tooling/executeAnonymous?anonymousBody=: answered as code that does not compile"""
    if not call.query.get("anonymousBody"):
        raise Refusal("MISSING_ARGUMENT", "anonymousBody is required")
    return answer(
        {
            "line": 1, "column": 1, "compiled": False, "success": False, "compileProblem": NO_APEX,
            "exceptionStackTrace": None, "exceptionMessage": None,
        }
    )  # fmt: skip
