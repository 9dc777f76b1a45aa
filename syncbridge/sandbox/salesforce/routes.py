"""All paths of the server, and what stands behind each."""

from __future__ import annotations

from starlette.routing import Route, Router

from syncbridge.sandbox.salesforce.app import Application, Endpoint
from syncbridge.sandbox.salesforce.bulk import ingest_calls, query_calls
from syncbridge.sandbox.salesforce.bulk_v1 import calls as batch_calls
from syncbridge.sandbox.salesforce.bulk_v1.messages import BULK_V1
from syncbridge.sandbox.salesforce.call import Action, Call, Reply
from syncbridge.sandbox.salesforce.control_routes import control_routes
from syncbridge.sandbox.salesforce.errors import not_found
from syncbridge.sandbox.salesforce.rest import (
    changed,
    collections,
    composite,
    identity,
    logins,
    metadata,
    query,
    recent,
    records,
    relationships,
    search,
    tooling,
    tree,
    versions,
)
from syncbridge.sandbox.salesforce.rest.batch import Batches
from syncbridge.sandbox.salesforce.rest.composite import Composite
from syncbridge.sandbox.salesforce.rest.graph import Graphs
from syncbridge.sandbox.salesforce.rest.subrequests import Subrequests
from syncbridge.sandbox.salesforce.sandbox import Sandbox
from syncbridge.sandbox.salesforce.soap.calls import SOAP, soap_action, soap_run

V = "/services/data/v{version}"
Paths = dict[str, dict[str, Action]]

SOAP_CALL = Action("soap", soap_run, "login", dialect=SOAP, by_body=soap_action)
LOGIN_PATHS: Paths = {
    "/services/oauth2/token": {"POST": Action("token", logins.token, "login")},
    "/services/oauth2/introspect": {"POST": Action("introspect", logins.introspect, "login")},
    "/services/oauth2/revoke": {
        "GET": Action("revoke", logins.revoke, "login"),
        "POST": Action("revoke", logins.revoke, "login"),
    },
    "/services/oauth2/authorize": {"GET": Action("authorize", logins.authorize, "login")},
    "/services/oauth2/userinfo": {
        "GET": Action("userinfo", identity.userinfo, "login"),
        "POST": Action("userinfo", identity.userinfo, "login"),
    },
    "/.well-known/openid-configuration": {"GET": Action("discovery", identity.discovery, "login")},
    "/id/keys": {"GET": Action("keys", identity.keys, "login")},
    "/id/{organization}/{user}": {"GET": Action("identity", identity.identity, "login")},
    "/services/Soap/{kind}/{soap_version}": {"POST": SOAP_CALL},
    "/services/Soap/{kind}/{soap_version}/{organization}": {"POST": SOAP_CALL},
    "/services/data": {"GET": Action("versions", versions.versions, "login")},
}
DATA_PATHS: Paths = {
    V: {"GET": Action("resources", metadata.resources)},
    f"{V}/limits": {"GET": Action("limits", metadata.limits)},
    f"{V}/limits/recordCount": {"GET": Action("record_count", metadata.record_count)},
    f"{V}/query": {"GET": Action("query", query.query)},
    f"{V}/queryAll": {"GET": Action("query_all", query.query_all)},
    f"{V}/query/{{locator}}": {"GET": Action("query_more", query.query_more)},
    f"{V}/queryAll/{{locator}}": {"GET": Action("query_more", query.query_more)},
    f"{V}/composite/sobjects": {
        "POST": Action("collections_create", collections.create, since=42),
        "PATCH": Action("collections_update", collections.update, since=42),
        "DELETE": Action("collections_delete", collections.delete, since=42),
    },
    f"{V}/composite/sobjects/{{object}}": {
        "GET": Action("collections_retrieve", collections.retrieve, since=42),
        "POST": Action("collections_retrieve", collections.retrieve, since=42),
    },
    f"{V}/composite/sobjects/{{object}}/{{field}}": {
        "PATCH": Action("collections_upsert", collections.upsert, since=46),
    },
    f"{V}/composite/tree/{{object}}": {"POST": Action("tree", tree.create, since=34)},
    f"{V}/search": {"GET": Action("search", search.search)},
    f"{V}/parameterizedSearch": {
        "GET": Action("parameterized_search", search.parameterized, since=36),
        "POST": Action("parameterized_search", search.parameterized, since=36),
    },
    f"{V}/recent": {"GET": Action("recent", recent.recent)},
    f"{V}/tabs": {"GET": Action("tabs", recent.no_items)},
    f"{V}/quickActions": {"GET": Action("quick_actions", recent.no_items)},
    f"{V}/sobjects/{{object}}/quickActions": {"GET": Action("quick_actions", recent.no_items)},
    f"{V}/theme": {"GET": Action("theme", recent.theme)},
    f"{V}/sobjects": {"GET": Action("global_describe", metadata.global_describe)},
    f"{V}/sobjects/{{object}}": {
        "GET": Action("object_info", recent.object_info),
        "POST": Action("create", records.create),
    },
    f"{V}/sobjects/{{object}}/describe": {"GET": Action("describe", metadata.describe)},
    f"{V}/sobjects/{{object}}/updated": {"GET": Action("updated", changed.updated)},
    f"{V}/sobjects/{{object}}/deleted": {"GET": Action("deleted", changed.deleted)},
    f"{V}/sobjects/{{object}}/{{id}}": {
        "GET": Action("read", records.read),
        "PATCH": Action("update", records.update),
        "DELETE": Action("delete", records.delete),
    },
    f"{V}/sobjects/{{object}}/{{field}}/{{value:path}}": {
        "GET": Action("read_by_key", relationships.read),
        "PATCH": Action("upsert", relationships.update),
        "DELETE": Action("delete_by_key", relationships.delete),
    },
}  # fmt: skip

SUBREQUESTS = Subrequests(DATA_PATHS)
COMPOSITE = Composite(SUBREQUESTS)
COMPOSITE_PATHS: Paths = {
    f"{V}/composite": {
        "GET": Action("composite_resources", composite.resources, since=34),
        "POST": Action("composite", COMPOSITE.composite, since=38),
    },
    f"{V}/composite/batch": {"POST": Action("batch", Batches(SUBREQUESTS).batch, since=34)},
    f"{V}/composite/graph": {"POST": Action("graph", Graphs(COMPOSITE).graph, since=50)},
}  # fmt: skip

TOOLING_PATHS: Paths = {
    f"{V}/tooling": {"GET": Action("tooling", tooling.resources)},
    f"{V}/tooling/executeAnonymous": {"GET": Action("tooling_execute", tooling.execute_anonymous)},
    f"{V}/tooling/query": {"GET": Action("tooling_query", query.query)},
    f"{V}/tooling/queryAll": {"GET": Action("tooling_query", query.query_all)},
    f"{V}/tooling/query/{{locator}}": {"GET": Action("tooling_query_more", query.query_more)},
    f"{V}/tooling/sobjects": {"GET": Action("tooling_global_describe", metadata.global_describe)},
    f"{V}/tooling/sobjects/{{object}}": {"GET": Action("tooling_object_info", recent.object_info)},
    f"{V}/tooling/sobjects/{{object}}/describe": {"GET": Action("tooling_describe", metadata.describe)},
    f"{V}/tooling/sobjects/{{object}}/{{id}}": {"GET": Action("tooling_read", records.read)},
}  # fmt: skip

BULK_PATHS: Paths = {
    f"{V}/jobs/ingest": {
        "GET": Action("bulk_list", ingest_calls.list_jobs, since=41),
        "POST": Action("bulk_create", ingest_calls.create, since=41),
    },
    f"{V}/jobs/ingest/{{job}}": {
        "GET": Action("bulk_read", ingest_calls.read, since=41),
        "PATCH": Action("bulk_update", ingest_calls.update, since=41),
        "DELETE": Action("bulk_delete", ingest_calls.delete, since=41),
    },
    f"{V}/jobs/ingest/{{job}}/batches": {"PUT": Action("bulk_upload", ingest_calls.upload, upload=True, since=41)},
    f"{V}/jobs/ingest/{{job}}/{{results}}": {"GET": Action("bulk_results", ingest_calls.results, since=41)},
    f"{V}/jobs/query": {
        "GET": Action("bulk_query_list", query_calls.list_jobs, since=47),
        "POST": Action("bulk_query_create", query_calls.create, since=47),
    },
    f"{V}/jobs/query/{{job}}": {
        "GET": Action("bulk_query_read", query_calls.read, since=47),
        "PATCH": Action("bulk_query_update", query_calls.update, since=47),
        "DELETE": Action("bulk_query_delete", query_calls.delete, since=47),
    },
    f"{V}/jobs/query/{{job}}/results": {"GET": Action("bulk_query_results", query_calls.results, since=47)},
    f"{V}/jobs/query/{{job}}/resultPages": {"GET": Action("bulk_query_pages", query_calls.result_pages, since=58)},
}  # fmt: skip


V1 = "/services/async/{async_version}/job"
BULK_V1_PATHS: Paths = {
    V1: {"POST": Action("bulk_v1_create", batch_calls.create, dialect=BULK_V1)},
    f"{V1}/{{batch_job}}": {
        "GET": Action("bulk_v1_read", batch_calls.read, dialect=BULK_V1),
        "POST": Action("bulk_v1_update", batch_calls.update, dialect=BULK_V1),
    },
    f"{V1}/{{batch_job}}/batch": {
        "GET": Action("bulk_v1_batches", batch_calls.list_batches, dialect=BULK_V1),
        "POST": Action("bulk_v1_add", batch_calls.add_batch, dialect=BULK_V1),
    },
    f"{V1}/{{batch_job}}/batch/{{batch}}": {"GET": Action("bulk_v1_batch", batch_calls.read_batch, dialect=BULK_V1)},
    f"{V1}/{{batch_job}}/batch/{{batch}}/request": {
        "GET": Action("bulk_v1_request", batch_calls.request, dialect=BULK_V1)
    },
    f"{V1}/{{batch_job}}/batch/{{batch}}/result": {
        "GET": Action("bulk_v1_results", batch_calls.results, dialect=BULK_V1)
    },
    f"{V1}/{{batch_job}}/batch/{{batch}}/result/{{result}}": {
        "GET": Action("bulk_v1_result", batch_calls.result, dialect=BULK_V1)
    },
}


def application(sandbox: Sandbox) -> Application:
    """Return the ASGI application of a sandbox."""
    paths = LOGIN_PATHS | COMPOSITE_PATHS | DATA_PATHS | TOOLING_PATHS | BULK_PATHS | BULK_V1_PATHS
    routes = [Route(path, Endpoint(sandbox, actions)) for path, actions in paths.items()]
    router = Router([*routes, *control_routes(sandbox)], redirect_slashes=False)
    router.default = Endpoint(sandbox, dict.fromkeys(METHODS, NO_SUCH_PATH))
    return Application(router)


def _no_such_path(call: Call) -> Reply:
    """Any other path: 404, and in the log of requests, so that one sees what a client misses"""
    raise not_found()


NO_SUCH_PATH = Action("missing", _no_such_path, "login")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
