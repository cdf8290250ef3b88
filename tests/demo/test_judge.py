from __future__ import annotations

import pytest

from loophound.demo.judge import Judgement, judge
from loophound.demo.plan import HEALTHY, PLANTED
from loophound.detector.records import Stall
from tests.demo.records import SITES, place, request, right_run, stall


def verdicts(stalls: list[Stall]) -> Judgement:
    return judge(stalls, PLANTED, SITES, HEALTHY)


def fault(judgement: Judgement, name: str) -> str | None:
    return next(verdict.fault for verdict in judgement.verdicts if verdict.planted.name == name)


def replaced(name: str, *others: Stall) -> Judgement:
    """A right run in which `name` was reported as `others` instead."""
    kept = [entry for entry in right_run() if entry.culprit and entry.culprit.line != SITES[name].line]
    return verdicts([*kept, *others])


def test_a_right_run_passes() -> None:
    judgement = verdicts(right_run())
    assert judgement.passed
    assert [len(verdict.stalls) for verdict in judgement.verdicts] == [2, 2, 2, 2, 2, 2, 2, 2, 1, 2]
    assert (judgement.accusations, judgement.others) == ((), ())


def test_no_records_miss_everything() -> None:
    judgement = verdicts([])
    assert not judgement.passed
    assert {verdict.fault for verdict in judgement.verdicts} == {"not reported"}


def test_one_missing_blocker_fails_the_run() -> None:
    judgement = replaced("lock")
    assert not judgement.passed
    assert [verdict.planted.name for verdict in judgement.verdicts if not verdict.right] == ["lock"]


def test_one_missing_call_is_told() -> None:
    assert fault(replaced("lock", stall("lock")), "lock") == "1 of 2 calls reported"


def test_a_wrong_line() -> None:
    beside = SITES["json"].line + 1
    wrong = stall("json", culprit=place(SITES["json"], line=beside))
    judgement = replaced("json", stall("json"), wrong)
    assert not judgement.passed
    assert fault(judgement, "json") == f"blames app.py:{beside}, not line {SITES['json'].line}"


def test_the_right_line_of_another_file() -> None:
    wrong = stall("json", culprit=place(SITES["json"], file="/site-packages/shop/encoder.py"))
    assert fault(replaced("json", stall("json"), wrong), "json") == (
        f"blames encoder.py:{SITES['json'].line}, not line {SITES['json'].line}"
    )


def test_a_shortened_file_name_is_right() -> None:
    short = stall("json", culprit=place(SITES["json"], file="loophound/demo/app.py"))
    assert replaced("json", short, stall("json")).passed


def test_a_wrong_cause() -> None:
    judgement = replaced("regex", stall("regex"), stall("regex", cause="cpu"))
    assert not judgement.passed
    assert fault(judgement, "regex") == "cause cpu, not native"


@pytest.mark.parametrize(
    ("wrong_request", "told"),
    [
        (None, "no request"),
        (request("GET", "/health"), "blames GET /health"),
        (request("GET", "/payments/4711"), "blames GET /payments/4711"),
    ],
)
def test_a_wrong_request(wrong_request: dict[str, object] | None, told: str) -> None:
    judgement = replaced("sleep", stall("sleep"), stall("sleep", request=wrong_request))
    assert not judgement.passed
    assert fault(judgement, "sleep") == told


def test_no_culprit() -> None:
    assert fault(replaced("sqlite", stall("sqlite"), stall("sqlite", culprit=None)), "sqlite") == "no culprit"


def test_different_faults_are_all_told_once() -> None:
    wrong = [stall("regex", cause="cpu"), stall("regex", cause="cpu"), stall("regex", request=None)]
    assert fault(replaced("regex", *wrong), "regex") == "cause cpu, not native; no request"


def test_another_planted_line_is_that_blockers_fault() -> None:
    wrong = stall("sleep", culprit=place(SITES["loop"]))
    judgement = verdicts([*right_run(), wrong])
    assert fault(judgement, "loop") == "cause sleep, not cpu"
    assert fault(judgement, "sleep") is None


def test_a_healthy_request_is_accused() -> None:
    library = place(SITES["json"], file="/site-packages/starlette/routing.py")
    wrong = stall("json", culprit=library, request=request("GET", "/news"))
    judgement = verdicts([*right_run(), wrong])
    assert judgement.accusations == (wrong,)
    assert not judgement.passed


def test_a_line_of_a_healthy_handler_is_accused() -> None:
    wrong = stall("json", culprit=place(SITES["json"], line=1), request=None)
    judgement = verdicts([*right_run(), wrong])
    assert judgement.accusations == (wrong,)
    assert not judgement.passed


def test_nobody_is_accused_by_an_innocent_stall() -> None:
    innocent = stall("json", culprit=None, innocent=True, cause="starved", request=request("GET", "/news"))
    judgement = verdicts([*right_run(), innocent])
    assert judgement.passed
    assert judgement.others == (innocent,)


def test_an_innocent_stall_is_no_report_of_a_blocker() -> None:
    innocent = stall("json", culprit=None, innocent=True, cause="contention")
    judgement = replaced("json", innocent)
    assert fault(judgement, "json") == "not reported, contention instead"
    assert not judgement.passed


def test_an_innocent_stall_beside_a_right_report_does_no_harm() -> None:
    innocent = stall("json", culprit=None, innocent=True, cause="starved")
    judgement = verdicts([*right_run(), innocent])
    assert judgement.passed
    assert next(verdict.excused for verdict in judgement.verdicts if verdict.planted.name == "json") == (innocent,)


def test_a_stall_outside_the_application_accuses_none_of_its_code() -> None:
    elsewhere = stall("json", culprit=place(SITES["json"], file="/lib/python3/gzip.py"), request=None)
    judgement = verdicts([*right_run(), elsewhere])
    assert judgement.passed
    assert judgement.others == (elsewhere,)


def test_a_long_stall_is_judged_by_its_last_record() -> None:
    while_it_lasts = stall("sleep", id="long", ongoing=True, cause="cpu")
    ended = stall("sleep", id="long")
    judgement = replaced("sleep", stall("sleep"), while_it_lasts, ended)
    assert judgement.passed
