"""The SOAP partner API, with envelopes as jsforce and the toolkits write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import httpx
import pytest

from syncbridge.sandbox.salesforce.server import SandboxServer
from syncbridge.sandbox.salesforce.store.storage import ORGANIZATION_ID, USER_ID
from tests.sandbox.conftest import Api

NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


def plain(element: Element) -> Any:
    """An element as text, None or a dict; what comes several times as a list. Names are without namespaces."""
    if element.get(NIL) == "true":
        return None
    if not len(element):
        return element.text or ""
    found: dict[str, Any] = {}
    for each in element:
        name, value = each.tag.rpartition("}")[2], plain(each)
        if name in found:
            found[name] = [*found[name], value] if isinstance(found[name], list) else [found[name], value]
        else:
            found[name] = value
    return found


class Soap:
    """A client that writes envelopes and reads results, with a session of its own."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.session = server.credentials.token
        self.path = "/services/Soap/u/59.0"
        self.namespace = "urn:partner.soap.sforce.com"

    def send(self, content: str, headers: str = "") -> httpx.Response:
        envelope = (
            '<?xml version="1.0" encoding="utf-8"?><se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f'<se:Header xmlns="{self.namespace}"><SessionHeader><sessionId>{self.session}</sessionId></SessionHeader>'
            f'{headers}</se:Header><se:Body xmlns="{self.namespace}">{content}</se:Body></se:Envelope>'
        )
        sent = {"Content-Type": "text/xml", "SOAPAction": '""'}
        return httpx.post(self.server.url + self.path, content=envelope, headers=sent)

    def __call__(self, operation: str, content: str = "", headers: str = "") -> Any:
        """Return the results of a call that must be answered, as a list."""
        response = self.send(f"<{operation}>{content}</{operation}>", headers)
        assert response.status_code == 200, response.text
        body = ElementTree.fromstring(response.content)[-1]
        assert body[0].tag == f"{{{self.namespace}}}{operation}Response"
        return [plain(each) for each in body[0]]

    def fault(self, operation: str, content: str = "") -> tuple[str, str]:
        """Return code and kind of the fault that a call must end in."""
        response = self.send(f"<{operation}>{content}</{operation}>")
        assert response.status_code == 500, response.text
        fault = ElementTree.fromstring(response.content)[-1][0]
        [code] = [each.text for each in fault.iter() if each.tag.endswith("exceptionCode")]
        assert plain(fault)["faultcode"] == f"sf:{code}"
        assert plain(fault)["faultstring"].startswith(f"{code}: ")
        return str(code), plain(fault)["detail"].popitem()[0]


@pytest.fixture
def soap(sandbox: SandboxServer) -> Soap:
    return Soap(sandbox)


def account(**fields: str) -> str:
    inside = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f"<sObjects><type>Account</type>{inside}</sObjects>"


class TestSessions:
    def test_a_login_gives_a_session_for_rest_and_soap(self, soap: Soap, sandbox: SandboxServer) -> None:
        known = sandbox.credentials
        password = f"<password>{known.password}{known.security_token}</password>"
        [result] = soap("login", f"<username>{known.user}</username>{password}")
        assert result["userInfo"]["organizationId"] == ORGANIZATION_ID
        assert result["serverUrl"] == f"{sandbox.url}/services/Soap/u/59.0/{ORGANIZATION_ID[:15]}"
        headers = {"Authorization": f"Bearer {result['sessionId']}"}
        assert httpx.get(f"{sandbox.url}/services/data/v59.0/limits", headers=headers).status_code == 200
        soap.session = result["sessionId"]
        soap.path = result["serverUrl"].removeprefix(sandbox.url)
        assert soap("getUserInfo")[0]["userId"] == USER_ID
        assert sandbox.control.calls("soap_login") == 1
        soap("logout")
        assert soap.fault("getUserInfo")[0] == "INVALID_SESSION_ID"

    def test_the_enterprise_path_logs_in_too(self, soap: Soap, sandbox: SandboxServer) -> None:
        soap.path, soap.namespace = "/services/Soap/c/59.0", "urn:enterprise.soap.sforce.com"
        known = sandbox.credentials
        [result] = soap("login", f"<username>{known.user}</username><password>{known.password}</password>")
        assert "/Soap/c/59.0/" in result["serverUrl"]
        assert soap.fault("create")[0] == "INVALID_OPERATION"

    @pytest.mark.parametrize("version", ["65.0", "66.0"])
    def test_newer_versions_have_no_login_and_all_the_rest(self, soap: Soap, version: str) -> None:
        soap.path = f"/services/Soap/u/{version}"
        assert soap.fault("login", "<username>x</username><password>y</password>")[0] == "INVALID_OPERATION"
        assert soap("getUserInfo")[0]["userId"] == USER_ID

    def test_a_wrong_password_is_a_login_fault(self, soap: Soap) -> None:
        content = "<username>x</username><password>y</password>"
        assert soap.fault("login", content) == ("INVALID_LOGIN", "LoginFault")

    @pytest.mark.parametrize("version", ["7.0", "99.0", "new"])
    def test_an_unknown_version_is_refused(self, soap: Soap, version: str) -> None:
        soap.path = f"/services/Soap/u/{version}"
        assert soap.fault("getUserInfo")[0] == "UNSUPPORTED_API_VERSION"

    def test_what_is_no_envelope_is_a_fault(self, sandbox: SandboxServer) -> None:
        for body in ("no xml", "<a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"):
            response = httpx.post(f"{sandbox.url}/services/Soap/u/59.0", content=body)
            assert (response.status_code, response.headers["Content-Type"]) == (500, "text/xml;charset=UTF-8")
            assert "<sf:exceptionCode>UNKNOWN_EXCEPTION</sf:exceptionCode>" in response.text

    def test_unknown_calls_and_faults_of_tests_are_soap_faults(self, soap: Soap, sandbox: SandboxServer) -> None:
        assert soap.fault("convertLead")[0] == "INVALID_OPERATION"
        sandbox.faults.add("daily_limit", times=1)
        assert soap.fault("getServerTimestamp")[0] == "REQUEST_LIMIT_EXCEEDED"

    def test_every_call_but_the_login_counts_and_says_so(self, soap: Soap, sandbox: SandboxServer) -> None:
        sandbox.control.set_usage(used=7, max=9)
        response = soap.send("<getServerTimestamp/>")
        assert "<current>8</current><limit>9</limit>" in response.text
        assert sandbox.control.stats()["usage"]["used"] == 8


class TestWriting:
    def test_creates_with_one_result_per_record_in_order(self, soap: Soap, api: Api) -> None:
        good, bad = soap("create", account(Name="A &amp; B", NumberOfEmployees="7") + account(Phone="1"))
        assert (good["success"], bad["success"], bad["id"]) == ("true", "false", None)
        assert bad["errors"]["statusCode"] == "REQUIRED_FIELD_MISSING"
        assert bad["errors"]["fields"] == "Name"
        [row] = api.rows("SELECT Id, Name, NumberOfEmployees FROM Account")
        assert row == {"Id": good["id"], "Name": "A & B", "NumberOfEmployees": 7}

    def test_all_or_none_is_a_header(self, soap: Soap, api: Api) -> None:
        header = "<AllOrNoneHeader><allOrNone>true</allOrNone></AllOrNoneHeader>"
        first, _ = soap("create", account(Name="A") + account(Phone="1"), header)
        assert first["errors"]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
        assert api.rows("SELECT Id FROM Account") == []

    def test_fields_to_null_are_emptied_and_empty_elements_left_alone(self, soap: Soap, api: Api) -> None:
        record = api.create("Account", Name="A", Phone="1", Fax="2")
        soap("update", account(Id=record, fieldsToNull="Phone", Fax=""))
        assert api.rows("SELECT Phone, Fax FROM Account") == [{"Phone": None, "Fax": "2"}]

    def test_upserts_by_external_id_and_says_what_was_created(self, soap: Soap, api: Api) -> None:
        api.create("Account", Name="A", External_Key__c="a")
        records = account(External_Key__c="a", Name="B") + account(External_Key__c="b", Name="C")
        results = soap("upsert", f"<externalIDFieldName>External_Key__c</externalIDFieldName>{records}")
        assert [each["created"] for each in results] == ["false", "true"]
        assert [each["Name"] for each in api.rows("SELECT Name FROM Account ORDER BY Name")] == ["B", "C"]

    def test_a_parent_is_given_by_its_external_id(self, soap: Soap, api: Api) -> None:
        parent = api.create("Account", Name="A", External_Key__c="a")
        key = "<Account><type>Account</type><External_Key__c>a</External_Key__c></Account>"
        [result] = soap("create", f"<sObjects><type>Contact</type><LastName>L</LastName>{key}</sObjects>")
        assert result["success"] == "true"
        assert api.rows("SELECT AccountId FROM Contact") == [{"AccountId": parent}]

    def test_deletes_and_undeletes(self, soap: Soap, api: Api) -> None:
        record = api.create("Account", Name="A")
        assert soap("undelete", f"<ids>{record}</ids>")[0]["errors"]["statusCode"] == "UNDELETE_FAILED"
        assert soap("delete", f"<ids>{record}</ids>")[0]["success"] == "true"
        assert api.rows("SELECT Id FROM Account") == []
        assert soap("undelete", f"<ids>{record}</ids>")[0] == {"id": record, "success": "true"}
        assert api.rows("SELECT Id FROM Account") == [{"Id": record}]

    def test_ids_may_be_called_id_as_old_toolkits_do(self, soap: Soap, api: Api) -> None:
        record = api.create("Account", Name="A")
        assert soap("delete", f"<id>{record}</id>")[0]["id"] == record

    def test_merges_up_to_two_records_into_a_third(self, soap: Soap, api: Api) -> None:
        master, loser = (api.create("Account", Name=name) for name in "AB")
        child = api.create("Contact", LastName="L", AccountId=loser)
        asked = (
            f"<mergeRequests><masterRecord><type>Account</type><Id>{master}</Id><Phone>5</Phone></masterRecord>"
            f"<recordToMergeIds>{loser}</recordToMergeIds></mergeRequests>"
        )
        [result] = soap("merge", asked)
        assert (result["id"], result["mergedRecordIds"], result["updatedRelatedIds"]) == (master, loser, child)
        assert api.rows("SELECT Id, Phone FROM Account") == [{"Id": master, "Phone": "5"}]
        assert soap("merge", asked)[0]["errors"]["statusCode"] == "ENTITY_IS_DELETED"

    def test_more_than_200_records_are_refused(self, soap: Soap) -> None:
        assert soap.fault("create", account(Name="A") * 201)[0] == "EXCEEDED_ID_LIMIT"


class TestReading:
    def test_a_record_has_its_type_and_id_first_and_parents_inside(self, soap: Soap, api: Api) -> None:
        parent = api.create("Account", Name="A")
        api.create("Contact", LastName="L", AccountId=parent)
        asked = "SELECT LastName, Phone, Account.Name, CreatedDate FROM Contact"
        [result] = soap("query", f"<queryString>{asked}</queryString>")
        assert (result["done"], result["queryLocator"], result["size"]) == ("true", None, "1")
        record = result["records"]
        assert (record["type"], record["Id"], record["LastName"], record["Phone"]) == ("Contact", None, "L", None)
        assert record["Account"] == {"type": "Account", "Id": None, "Name": "A"}
        assert record["CreatedDate"].endswith(".000Z")

    def test_a_chosen_id_comes_twice_as_toolkits_expect(self, soap: Soap, api: Api) -> None:
        record = api.create("Account", Name="A")
        [result] = soap("query", "<queryString>SELECT Id FROM Account</queryString>")
        assert result["records"] == {"type": "Account", "Id": [record, record]}

    def test_query_more_goes_on_where_a_page_ended(self, soap: Soap, api: Api, sandbox: SandboxServer) -> None:
        for name in "abc":
            api.create("Account", Name=name)
        sandbox.control.set_page_size(2)
        [first] = soap("query", "<queryString>SELECT Name FROM Account ORDER BY Name</queryString>")
        assert (first["done"], len(first["records"]), first["size"]) == ("false", 2, "3")
        [second] = soap("queryMore", f"<queryLocator>{first['queryLocator']}</queryLocator>")
        assert (second["done"], second["records"]["Name"]) == ("true", "c")
        wrong = soap.fault("queryMore", "<queryLocator>nothing-2</queryLocator>")
        assert wrong == ("INVALID_QUERY_LOCATOR", "InvalidQueryLocatorFault")

    def test_query_all_shows_the_bin(self, soap: Soap, api: Api) -> None:
        api.delete(f"/sobjects/Account/{api.create('Account', Name='A')}")
        asked = "<queryString>SELECT Id, IsDeleted FROM Account</queryString>"
        assert soap("query", asked)[0]["size"] == "0"
        assert soap("queryAll", asked)[0]["records"]["IsDeleted"] == "true"

    @pytest.mark.parametrize(
        ("asked", "fault"),
        [
            ("SELECT Nope FROM Account", ("INVALID_FIELD", "InvalidFieldFault")),
            ("SELECT Id FROM Nope", ("INVALID_TYPE", "InvalidSObjectFault")),
            ("SELECT FROM", ("MALFORMED_QUERY", "MalformedQueryFault")),
        ],
    )
    def test_a_wrong_query_is_a_fault_of_its_kind(self, soap: Soap, asked: str, fault: tuple[str, str]) -> None:
        assert soap.fault("query", f"<queryString>{asked}</queryString>") == fault

    def test_retrieve_keeps_the_order_of_the_ids(self, soap: Soap, api: Api) -> None:
        first, second = (api.create("Account", Name=name) for name in "AB")
        ids = f"<ids>{second}</ids><ids>001000000000009AAA</ids><ids>{first}</ids>"
        fields = "<fieldList>Name</fieldList><sObjectType>Account</sObjectType>"
        b, missing, a = soap("retrieve", fields + ids)
        assert (b["Name"], missing, a["Name"]) == ("B", None, "A")

    def test_describes_objects(self, soap: Soap) -> None:
        names = "<sObjectType>Account</sObjectType><sObjectType>Contact</sObjectType>"
        accounts, contacts = soap("describeSObjects", names)
        assert (accounts["keyPrefix"], contacts["keyPrefix"]) == ("001", "003")
        [alone] = soap("describeSObject", "<sObjectType>Account</sObjectType>")
        assert alone["fields"][0]["name"] == "Id"
        assert alone["urlDetail"] == f"{soap.server.url}/{{ID}}"
        [all_objects] = soap("describeGlobal")
        assert {"Account", "Contact"} <= {each["name"] for each in all_objects["sobjects"]}
        assert soap.fault("describeSObject", "<sObjectType>Nope</sObjectType>")[0] == "INVALID_TYPE"

    @pytest.mark.parametrize(
        ("operation", "find"),
        [
            ("getUpdated", lambda result: result["ids"]),
            ("getDeleted", lambda result: result["deletedRecords"]["id"]),
        ],
    )
    def test_the_feeds_of_changes(
        self, soap: Soap, api: Api, sandbox: SandboxServer, operation: str, find: Callable[[Any], str]
    ) -> None:
        record = api.create("Account", Name="A")
        if operation == "getDeleted":
            api.delete(f"/sobjects/Account/{record}")
        sandbox.control.advance_clock(120)
        now = datetime.fromtimestamp(sandbox.sandbox.clock.seconds(), UTC)
        start, end = (each.strftime("%Y-%m-%dT%H:%M:%SZ") for each in (now - timedelta(hours=1), now))
        window = f"<startDate>{start}</startDate><endDate>{end}</endDate>"
        [result] = soap(operation, f"<sObjectType>Account</sObjectType>{window}")
        assert find(result) == record
        assert result["latestDateCovered"].endswith("Z")
