"""Several worker processes on one project: one stands by, halves run apart, and a killed one leaves nothing behind."""

from __future__ import annotations

from tests.fix_project import WholeProject, until


def test_the_second_worker_takes_over_when_the_first_is_killed(running: WholeProject) -> None:
    second = running.start()
    until(lambda: "standing by" in second.log, what="the second worker stands by")
    running.workers[0].kill()
    running.sql("update people set first_name = 'After the kill'")
    running.sql("delete from parts where number = 1")
    until(lambda: "streaming from" in second.log, what="the second worker streams")
    running.wait()
    running.assert_equal()
    assert second.stop() == 0


def test_what_a_killed_worker_was_sending_is_delivered_by_the_one_that_lives(running: WholeProject) -> None:
    hanging = running.salesforce.faults.add("latency", path="/composite/sobjects/Contact", seconds=1.0, times=1)
    running.sql("update people set first_name = 'In flight'")
    until(lambda: hanging.struck == 1, what="a call is in flight")
    running.workers[0].kill()
    running.start()
    running.sql("update people set first_name = 'Newer'")
    running.wait()
    running.assert_equal()
    assert len(running.records(deleted=True)) == 5


def test_capture_and_delivery_run_as_two_processes(whole: WholeProject) -> None:
    whole.done("setup")
    capture, deliver = whole.start("--only", "capture"), whole.start("--only", "deliver")
    whole.wait()
    whole.sql("update people set first_name = 'Apart'")
    whole.sql("delete from people where id = 2")
    whole.wait()
    whole.assert_equal()
    assert deliver.stop() == 0
    whole.sql("update people set first_name = 'Nobody delivers'")
    until(lambda: whole.waiting("people") == 4, what="capture goes on alone")
    again = whole.start("--only", "deliver")
    whole.wait()
    whole.assert_equal()
    assert capture.stop() == again.stop() == 0


def test_a_worker_that_is_told_to_end_signs_off_and_leaves_nothing_claimed(running: WholeProject) -> None:
    other = running.start()
    until(lambda: len(running.sql("select id from syncbridge.worker")) == 2)
    assert other.stop() == 0
    assert len(running.sql("select id from syncbridge.worker")) == 1
    assert running.sql("select key from syncbridge.outbox where claim is not null") == []
