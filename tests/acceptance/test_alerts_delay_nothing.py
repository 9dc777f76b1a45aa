"""A real worker tells what goes wrong, and a target that never answers delays no record."""

from __future__ import annotations

import socket

import pytest

from tests.fix_alerts import SECRET, WebReceiver
from tests.fix_project import WholeProject, until

ALERTS = '\n[alerts]\nevery = "1s"\ncalm = "0s"\ndead_letters = 0\nname = "shop"\n'


def refuse_a_record(whole: WholeProject) -> None:
    whole.sql("update people set level = 'Bronze' where id = 1")


def mend_it(whole: WholeProject) -> None:
    whole.sql("update people set level = 'Gold' where id = 1")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_tells_once_that_something_is_wrong_and_once_that_it_is_over(
    whole: WholeProject, web: WebReceiver, workers: int
) -> None:
    whole.add_settings(ALERTS)
    whole.environment["SYNCBRIDGE_ALERTS__WEBHOOK"] = web.url
    whole.done("setup")
    started = [whole.start("--verbose") for _ in range(workers)]
    whole.wait()
    refuse_a_record(whole)
    until(lambda: web.posted)
    assert whole.run("alerts").code == 1
    mend_it(whole)
    until(lambda: len(web.posted) >= 2)
    for worker in started:
        assert worker.stop() == 0
        assert SECRET not in worker.log
    titles = [text.splitlines()[0] for text in web.texts]
    wanted = "*syncbridge, shop: people: more than 0 dead letters"
    assert titles == [f"{wanted}*", f"{wanted}: recovered*"]
    assert whole.run("alerts").code == 0


def test_a_target_that_never_answers_delays_no_record(whole: WholeProject) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        whole.add_settings(ALERTS)
        whole.environment["SYNCBRIDGE_ALERTS__WEBHOOK"] = f"http://127.0.0.1:{silent.getsockname()[1]}/x"
        whole.done("setup")
        whole.start()
        whole.wait()
        refuse_a_record(whole)
        silent.settimeout(40)
        held, _ = silent.accept()
        with held:
            whole.sql("update people set first_name = 'Grace' where id = 2")
            until(lambda: (whole.record(2) or {})["FirstName"] == "Grace")
            assert whole.sql("select count(*) from syncbridge.alert_message where lease_until > now()") == [(1,)]
