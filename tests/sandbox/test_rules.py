"""Rules of an org at work: validation rules, duplicate rules, automations, storage, in single calls, rows and jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from syncbridge.sandbox.salesforce.org.org_file import OrgFileError, load_org
from syncbridge.sandbox.salesforce.server import SandboxServer
from tests.sandbox.conftest import Api, BulkApi

REACHABLE = {"error_if": "Email is null and Phone is null", "message": "Give an email or a phone", "field": "Email"}
INSIST = {"Sforce-Duplicate-Rule-Header": "allowSave=true; runAsCurrentUser=true"}


def _contacts(*names: str, **values: Any) -> list[dict[str, Any]]:
    return [{"attributes": {"type": "Contact"}, "LastName": each, **values} for each in names]


def _errors(results: Any) -> list[Any]:
    return [[(each["statusCode"], each["message"], each["fields"]) for each in row["errors"]] for row in results]


class TestValidationRules:
    @pytest.fixture(autouse=True)
    def _rule(self, sandbox: SandboxServer) -> None:
        sandbox.control.put_rules("Contact", {"validation_rules": {"Reachable": REACHABLE}})

    def test_a_record_that_breaks_one_is_refused_with_the_admins_words(self, api: Api) -> None:
        answer = api.post("/sobjects/Contact", json={"LastName": "a"})
        assert answer.status_code == 400
        assert answer.json() == [
            {"message": REACHABLE["message"], "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "fields": ["Email"]}
        ]

    def test_an_update_is_judged_by_the_whole_record_that_it_leaves(self, api: Api) -> None:
        contact = api.create("Contact", LastName="a", Phone="1")
        assert api.patch(f"/sobjects/Contact/{contact}", json={"Title": "Dr"}).status_code == 204
        refused = api.patch(f"/sobjects/Contact/{contact}", json={"Phone": None, "Title": "Prof"})
        assert refused.json()[0]["errorCode"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION"
        assert api.rows("SELECT Phone, Title FROM Contact") == [{"Phone": "1", "Title": "Dr"}]

    def test_its_neighbours_are_written(self, api: Api) -> None:
        records = [*_contacts("a", "b", Phone="1"), *_contacts("c")]
        results = api.collection("POST", "", [records[2], *records[:2]])
        assert [each["success"] for each in results] == [False, True, True]
        assert _errors(results)[0] == [("FIELD_CUSTOM_VALIDATION_EXCEPTION", REACHABLE["message"], ["Email"])]
        assert [each["LastName"] for each in api.rows("SELECT LastName FROM Contact")] == ["a", "b"]

    def test_all_or_none_leaves_nothing(self, api: Api) -> None:
        results = api.collection("POST", "", [*_contacts("a", Phone="1"), *_contacts("b")], all_or_none=True)
        codes = [each["errors"][0]["statusCode"] for each in results]
        assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "FIELD_CUSTOM_VALIDATION_EXCEPTION"]
        assert api.rows("SELECT Id FROM Contact") == []

    def test_a_bulk_job_has_it_in_its_failed_results(self, bulk: BulkApi) -> None:
        errors = bulk.errors("LastName,Phone\na,1\nb,\nc,2\n")
        assert errors == ["FIELD_CUSTOM_VALIDATION_EXCEPTION:Give an email or a phone:Email --"]

    def test_a_rule_can_ask_parents_and_formulas(self, api: Api, sandbox: SandboxServer) -> None:
        rule = {"error_if": "Account.Industry = 'Energy' and length(Name) > 5", "message": "Too long"}
        sandbox.control.put_rules("Contact", {"validation_rules": {"Short": rule}})
        account = api.create("Account", Name="a", Industry="Energy")
        results = api.collection("POST", "", _contacts("short", "longer", AccountId=account))
        assert _errors(results) == [[], [("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Too long", [])]]


class TestDuplicateRules:
    def _rule(self, sandbox: SandboxServer, action: str) -> None:
        rule = {"fields": ["Email", "LastName"], "action": action}
        sandbox.control.put_rules("Contact", {"duplicate_rules": {"Same_Person": rule}})

    def test_a_single_record_is_told_which_records_agree(self, api: Api, sandbox: SandboxServer) -> None:
        self._rule(sandbox, "alert")
        first = api.create("Contact", LastName="Ada", Email="ada@example.com")
        answer = api.post("/sobjects/Contact", json={"LastName": "ada", "Email": "ADA@example.com"})
        assert answer.status_code == 400
        [error] = answer.json()
        found = error.pop("duplicateResult")
        assert error == {"errorCode": "DUPLICATES_DETECTED", "message": "Use one of these records?"}
        assert (found["allowSave"], found["duplicateRule"]) == (True, "Same_Person")
        [result] = found["matchResults"]
        assert [each["record"]["Id"] for each in result["matchRecords"]] == [first]

    def test_rows_have_the_code_and_the_message_only(self, api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
        self._rule(sandbox, "block")
        api.create("Contact", LastName="Ada", Email="ada@example.com")
        results = api.collection("POST", "", _contacts("Ada", "Eve", Email="ada@example.com"))
        assert _errors(results) == [[("DUPLICATES_DETECTED", "Use one of these records?", [])], []]
        errors = bulk.errors("LastName,Email\nAda,ada@example.com\nNew,ada@example.com\n")
        assert errors == ["DUPLICATES_DETECTED:Use one of these records?:--"]

    @pytest.mark.parametrize(("action", "status"), [("alert", 201), ("block", 400)])
    def test_a_request_may_insist_where_the_rule_only_alerts(
        self, api: Api, sandbox: SandboxServer, action: str, status: int
    ) -> None:
        self._rule(sandbox, action)
        values = {"LastName": "Ada", "Email": "ada@example.com"}
        api.create("Contact", **values)
        assert api.post("/sobjects/Contact", json=values).status_code == 400
        assert api.post("/sobjects/Contact", json=values, headers=INSIST).status_code == status
        refusing = {"Sforce-Duplicate-Rule-Header": "allowSave=false"}
        assert api.post("/sobjects/Contact", json=values, headers=refusing).status_code == 400

    def test_records_without_a_value_deleted_ones_and_themselves_do_not_count(
        self, api: Api, sandbox: SandboxServer
    ) -> None:
        self._rule(sandbox, "block")
        for _ in range(2):
            gone = api.create("Contact", LastName="Ada")
        api.patch(f"/sobjects/Contact/{gone}", json={"Email": "ada@example.com"})
        assert api.patch(f"/sobjects/Contact/{gone}", json={"Email": "ada@example.com"}).status_code == 204
        api.delete(f"/sobjects/Contact/{gone}")
        api.create("Contact", LastName="Ada", Email="ada@example.com")

    def test_updates_that_leave_the_compared_fields_alone_are_not_compared(
        self, api: Api, sandbox: SandboxServer
    ) -> None:
        values = {"LastName": "Ada", "Email": "ada@example.com"}
        contact = [api.create("Contact", **values) for _ in range(2)][1]
        self._rule(sandbox, "block")
        assert api.patch(f"/sobjects/Contact/{contact}", json={"Title": "Dr"}).status_code == 204
        assert api.patch(f"/sobjects/Contact/{contact}", json={"LastName": "Ada"}).status_code == 400


class TestAutomations:
    def test_a_field_follows_another_when_that_changes(self, api: Api, sandbox: SandboxServer) -> None:
        sandbox.control.put_field("Contact", "Boss__c", "boolean")
        follow = {"when": ["Title"], "set": {"Department": "upper(Title)", "Boss__c": "Title = 'Boss'"}}
        sandbox.control.put_rules("Contact", {"automations": {"Follow": follow}})
        contact = api.create("Contact", LastName="a", Title="Boss")
        query = "SELECT Department, Boss__c FROM Contact"
        assert api.rows(query) == [{"Department": "BOSS", "Boss__c": True}]
        api.patch(f"/sobjects/Contact/{contact}", json={"Department": "mine", "Title": "Boss"})
        assert api.rows(query) == [{"Department": "mine", "Boss__c": True}]
        api.patch(f"/sobjects/Contact/{contact}", json={"Title": "Dr"})
        assert api.rows(query) == [{"Department": "DR", "Boss__c": False}]

    def test_the_parent_is_written_too_and_its_stamp_moves(self, api: Api, sandbox: SandboxServer) -> None:
        touch = {"on": ["create"], "set_parent": {"Account": {"Description": "'last: ' || LastName"}}}
        sandbox.control.put_rules("Contact", {"automations": {"Touch": touch}})
        account = api.create("Account", Name="a")
        [before] = api.rows("SELECT SystemModstamp FROM Account")
        sandbox.control.advance_clock(60)
        results = api.collection("POST", "", _contacts("one", "two", AccountId=account))
        assert all(each["success"] for each in results)
        [after] = api.rows("SELECT Description, SystemModstamp FROM Account")
        assert after["Description"] == "last: two"
        assert after["SystemModstamp"] > before["SystemModstamp"]

    def test_an_error_is_worded_as_that_of_a_trigger(self, api: Api, sandbox: SandboxServer) -> None:
        guard = {"on": ["update"], "if": "Title = 'x'", "error": "System.DmlException: no"}
        sandbox.control.put_rules("Contact", {"automations": {"ContactTrigger": guard}})
        contact = api.create("Contact", LastName="a", Title="x")
        [error] = api.patch(f"/sobjects/Contact/{contact}", json={"LastName": "b"}).json()
        assert error == {
            "errorCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
            "message": "ContactTrigger: execution of AfterUpdate\n\ncaused by: System.DmlException: no",
            "fields": [],
        }
        assert api.patch(f"/sobjects/Contact/{contact}", json={"Title": "y"}).status_code == 204

    def test_apex_has_no_time_for_too_many_records_at_once(self, api: Api, sandbox: SandboxServer) -> None:
        sandbox.control.put_rules("Contact", {"automations": {"Slow": {"cpu_limit": 2}}})
        results = api.collection("POST", "", _contacts("a", "b", "c"))
        said = "Slow: System.LimitException: Apex CPU time limit exceeded"
        assert _errors(results) == [[("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", said, [])]] * 3
        assert all(each["success"] for each in api.collection("POST", "", _contacts("a", "b")))

    def test_a_bulk_job_runs_triggers_by_200_records(self, api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
        rows = "LastName\n" + "a\n" * 500
        sandbox.control.put_rules("Contact", {"automations": {"Slow": {"cpu_limit": 200}}})
        assert bulk.run(rows)["numberRecordsFailed"] == 0
        sandbox.control.put_rules("Contact", {"automations": {"Slow": {"cpu_limit": 199}}})
        assert bulk.run(rows)["numberRecordsFailed"] == 400

    def test_a_value_that_does_not_fit_fails_the_record(self, api: Api, sandbox: SandboxServer) -> None:
        wrong = {"set": {"Birthdate": "LastName"}}
        sandbox.control.put_rules("Contact", {"automations": {"Flow": wrong}})
        [error] = api.post("/sobjects/Contact", json={"LastName": "a"}).json()
        assert error["errorCode"] == "CANNOT_EXECUTE_FLOW_TRIGGER"
        assert api.rows("SELECT Id FROM Contact") == []

    def test_validation_rules_see_what_automations_left(self, api: Api, sandbox: SandboxServer) -> None:
        rules = {
            "automations": {"Call": {"on": ["create"], "set": {"Phone": "'1'"}}},
            "validation_rules": {"Reachable": REACHABLE},
        }
        sandbox.control.put_rules("Contact", rules)
        assert api.post("/sobjects/Contact", json={"LastName": "a"}).status_code == 201


def test_an_object_holds_no_more_records_than_its_storage(api: Api, bulk: BulkApi, sandbox: SandboxServer) -> None:
    sandbox.control.put_rules("Contact", {"most_records": 2})
    results = api.collection("POST", "", _contacts("a", "b", "c"))
    assert _errors(results) == [[], [], [("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded", [])]]
    assert api.patch(f"/sobjects/Contact/{results[0]['id']}", json={"LastName": "x"}).status_code == 204
    assert bulk.errors("LastName\na\n") == ["STORAGE_LIMIT_EXCEEDED:storage limit exceeded:--"]
    api.delete(f"/sobjects/Contact/{results[0]['id']}")
    assert api.post("/sobjects/Contact", json={"LastName": "c"}).status_code == 201


def test_rules_are_put_over_http_and_a_reset_ends_them(api: Api, sandbox: SandboxServer) -> None:
    with httpx.Client(base_url=f"{sandbox.url}/sandbox") as control:
        assert control.put("/rules/Contact", json={"validation_rules": {"R": REACHABLE}}).status_code == 200
        assert api.post("/sobjects/Contact", json={"LastName": "a"}).status_code == 400
        wrong = control.put("/rules/Contact", json={"automations": {"A": {"set": {"Titel": "1"}}}})
        assert wrong.status_code == 400
        said = "automations.A.set.Titel: Contact has no field 'Titel'; did you mean 'Title'?"
        assert wrong.json()[0]["message"] == said
        assert control.put("/rules/Nope", json={}).status_code == 404
    sandbox.control.reset()
    assert api.post("/sobjects/Contact", json={"LastName": "a"}).status_code == 201


def test_an_org_file_gives_rules_to_standard_and_new_objects(tmp_path: Path) -> None:
    file = tmp_path / "org.yaml"
    file.write_text(
        "objects:\n"
        "  Contact:\n"
        "    validation_rules:\n"
        "      Adult: {error_if: Birthdate > TODAY(), message: Not born yet, field: Birthdate}\n"
        "    most_records: 5\n"
        "  Pet__c:\n"
        "    fields: {Owner__c: {type: reference, to: Contact, relationship: Master__r}}\n"
        "    automations:\n"
        "      Count: {on: [create], set_parent: {Master__r: {Description: Name}}}\n"
    )
    org = load_org(file)
    assert [each.name for each in org.objects["contact"].rules.validations] == ["Adult"]
    assert org.objects["contact"].rules.most_records == 5
    assert [each.name for each in org.objects["pet__c"].rules.automations] == ["Count"]
    with SandboxServer(org=file) as server:
        headers = {"Authorization": f"Bearer {server.credentials.token}"}
        with httpx.Client(base_url=f"{server.url}/services/data/v59.0", headers=headers) as client:
            answer = client.post("/sobjects/Contact", json={"LastName": "a", "Birthdate": "3000-01-01"})
            assert answer.json()[0]["message"] == "Not born yet"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("validation_rules: {V: {error_if: Titel = 1, message: m}}", "V.error_if: no such column: Titel"),
        ("validation_rules: {V: {error_if: '1', message: m, field: Titel}}", "V.field: Contact has no field 'Titel'"),
        ("validation_rules: {V: {error_if: '1', mesage: m}}", "unknown key; did you mean 'message'?"),
        ("duplicate_rules: {D: {fields: [Titel]}}", "D.fields: Contact has no field 'Titel'; did you mean 'Title'?"),
        ("duplicate_rules: {D: {fields: []}}", "D.fields: "),
        ("automations: {A: {when: [Title]}}", "an automation needs `set`, `set_parent`, `error` or `cpu_limit`"),
        ("automations: {A: {set: {Name: '1'}}}", "A.set.Name: Name cannot be set"),
        ("automations: {A: {set_parent: {Acount: {Name: '1'}}}}", "no such relationship; did you mean 'Account'?"),
        ("automations: {A: {iff: '1', error: e}}", "unknown key; did you mean 'if'?"),
    ],
)
def test_a_mistake_in_a_rule_is_shown_where_it_stands(tmp_path: Path, rules: str, said: str) -> None:
    file = tmp_path / "org.yaml"
    file.write_text(f"objects:\n  Contact:\n    {rules}\n")
    with pytest.raises(OrgFileError, match=r"org\.yaml:3: objects\.Contact\.") as caught:
        load_org(file)
    assert said in str(caught.value)
