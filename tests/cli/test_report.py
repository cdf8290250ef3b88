"""`loophound report`: what it reads, what it writes, and what it says of what it cannot read."""

from __future__ import annotations

import io
import json
import sqlite3
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from loophound.cli import main
from loophound.cli.report import command, since_of
from loophound.errors import ConfigError
from loophound.ledger.place import default_path
from loophound.ledger.store import append
from tests.dashboards.report.groups import stalls
from tests.stalls import stall


@pytest.fixture(params=["ledger", "recording"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same stalls as a ledger and as a record file."""
    return str({"ledger": ledger, "recording": recording}[request.param](tmp_path))


def ledger(folder: Path) -> Path:
    append(folder / "run.db", stalls())
    return folder / "run.db"


def recording(folder: Path) -> Path:
    file = folder / "run.jsonl"
    file.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in stalls()))
    return file


def report(*words: str) -> str:
    """Its standard output, from click's own runner."""
    done = CliRunner().invoke(command, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def ids(text: str) -> list[str]:
    return [line.split()[0] for line in text.splitlines()[1:-1]]


def test_the_table(source: str) -> None:
    text = report(source)
    assert ids(text) == ["57a12ed", "c0ffee12", "5leeb"]
    assert text.splitlines()[-1].startswith("3 groups, 7 stalls, 3.40 s in all; ")


def test_order_and_limit(source: str) -> None:
    assert ids(report(source, "--sort=count", "--limit=2")) == ["5leeb", "c0ffee12"]


def test_since(source: str) -> None:
    at = datetime.fromisoformat("2026-11-22T05:02:00Z").timestamp()
    [group] = json.loads(report(source, "--json", "--since", datetime.fromtimestamp(at).isoformat()))["groups"]
    assert (group["fingerprint"], group["count"], group["first_at"]) == ("5leeb", 2, "2026-11-22T05:00:00.000Z")
    assert report(source, "--since=2126-01-01") == "no stalls\n"


def test_one_group(source: str) -> None:
    text = report(source, "--group", "c0", "--limit=1")
    assert text.startswith("group: c0ffee12, io, main.py:44 in show\n")
    assert "BLOCKED 500 ms" in text


def test_json(source: str) -> None:
    document = json.loads(report(source, "--json"))
    assert (document["schema"], document["source"]) == ("loophound.report/1", source)
    group = document["groups"][1]
    assert (group["fingerprint"], group["cause"], group["count"], group["worst_s"]) == ("c0ffee12", "io", 2, 0.5)
    assert group["p50_s"] == pytest.approx(0.3, rel=0.05)
    assert group["culprit"]["line"] == 44
    assert "records" not in group
    [full] = json.loads(report(source, "--json", "--group=c0ffee12"))["groups"]
    assert [record["duration_s"] for record in full["records"]] == [0.3, 0.5]


def test_flame_graphs(source: str) -> None:
    assert "charge (/srv/app/main.py:7) 600\n" in report(source, "--format=collapsed")
    file = json.loads(report(source, "--format=speedscope"))
    assert file["profiles"][0]["endValue"] == 3400
    assert len(json.loads(report(source, "--format=speedscope", "--group=5l"))["profiles"]) == 1


def test_the_page(source: str, tmp_path: Path) -> None:
    assert report(source, "--html", str(tmp_path / "page.html")) == ""
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("<section") == 3


def test_against(source: str, tmp_path: Path) -> None:
    before = tmp_path / "before.jsonl"
    before.write_text(
        "".join(json.dumps(one.to_dict()) + "\n" for one in (stall(duration_s=0.2), stall(fingerprint="f1xed")))
    )
    text = report(source, "--against", str(before))
    assert [line.split()[:2] for line in text.splitlines()[1:]] == [
        ["new", "57a12ed"], ["new", "5leeb"], ["worse", "c0ffee12"], ["gone", "f1xed"],
    ]  # fmt: skip
    changes = json.loads(report(source, "--against", str(before), "--json"))["changes"]
    assert [(change["verdict"], change["grown_s"]) for change in changes] == [
        ("new", 2.0), ("new", 0.6), ("worse", 0.6), ("gone", -0.312),
    ]  # fmt: skip
    limited = report(source, "--against", source, "--limit=1")
    assert [line.split()[:2] for line in limited.splitlines()[1:]] == [["same", "57a12ed"]]
    alone = report(source, "--against", str(before), "--group=c0")
    assert [line.split()[:2] for line in alone.splitlines()[1:]] == [["worse", "c0ffee12"]]


def test_the_projects_own_ledger_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "shop").mkdir()
    monkeypatch.chdir(tmp_path / "shop")
    path = default_path(tmp_path / "shop", {"XDG_STATE_HOME": str(tmp_path / "state")})
    path.parent.mkdir(parents=True)
    append(path, [stall()])
    assert ids(report()) == ["c0ffee12"]


def test_without_a_ledger_it_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(["report"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "`loophound serve APP --detect-blocking --ledger` keeps one" in err


def test_broken_lines_are_told_and_the_rest_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = recording(tmp_path)
    good = file.read_text().splitlines()
    file.write_text("\n".join([good[0], good[1][:300], *good[2:], '{"schema": "other/1"}']))
    assert main(["report", str(file)]) == 0
    out, err = capsys.readouterr()
    assert "3 groups, 6 stalls" in out
    first, second = err.splitlines()
    assert first.startswith(f"loophound: {file}: line 2: not JSON (column 3")
    assert second == f"loophound: {file}: line 8: expected schema 'loophound.stall/1', got 'other/1'"


def test_many_broken_lines_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "f"
    file.write_text(json.dumps(stall().to_dict()) + "\n" + "x\n" * 100)
    assert main(["report", str(file)]) == 0
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 21
    assert err[-1] == f"loophound: {file}: 80 more broken lines"


def test_an_empty_record_file_has_no_stalls(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert report(str(tmp_path / "f")) == "no stalls\n"


def test_standard_input(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["-"], input=recording(tmp_path).read_bytes())
    assert ids(done.stdout) == ["57a12ed", "c0ffee12", "5leeb"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["absent"], 2, "cannot read 'absent': no such file or directory"),
        (["."], 2, "cannot read '.': is a directory"),
        (["nonsense"], 1, "'nonsense' is neither a ledger nor a record file: line 1: not JSON"),
        (["corrupt.db"], 1, "the ledger 'corrupt.db' is corrupt"),
        (["version.db"], 1, "the ledger 'version.db' is of version 9, and this Loophound knows version 1"),
        (["other.db"], 1, "'other.db' is a database, but no ledger of Loophound"),
        (["run.db", "--group=f00"], 2, "--group 'f00' fits no group; there are "),
        (["run.db", "--group=5"], 2, "--group '5' fits 2 groups; there are "),
        (["run.db", "--group="], 2, "--group '' fits no group"),
        (["run.db", "--since=soon"], 2, "--since takes a time such as 2h, 7d or 2026-11-22; got 'soon'"),
        (["run.db", "--json", "--format=collapsed"], 2, "--json and --format do not go together"),
        (["run.db", "--against=run.db", "--format=collapsed"], 2, "--against goes with the table and with --json"),
        (["run.db", "--html=/absent/x.html"], 2, "--html: cannot write '/absent/x.html': no such file or directory"),
        (["run.db", "--sort=size"], 2, "Invalid value for '--sort'"),
        (["run.db", "--limit=0"], 2, "Invalid value for '--limit'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(
    words: list[str], code: int, message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    ledger(tmp_path)
    Path("nonsense").write_text("nothing\nat all\n")
    Path("corrupt.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    append(Path("version.db"), [stall()])
    for name, statement in (("version.db", "PRAGMA user_version = 9"), ("other.db", "CREATE TABLE t (x)")):
        with closing(sqlite3.connect(name)) as db:
            db.execute(statement)
    assert main(["report", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"loophound: {message}")
    assert err.count("\n") == 1


def test_points_in_time() -> None:
    assert since_of("2h", 10_000.0) == 2800.0
    assert since_of("1.5m", 100.0) == 10.0
    assert since_of("2026-11-22", 0.0) == datetime(2026, 11, 22).timestamp()
    assert since_of("2026-11-22T14:30Z", 0.0) == datetime.fromisoformat("2026-11-22T14:30+00:00").timestamp()
    for bad in ("", "2", "h", "-2h", "2 h", "yesterday", "9999-99-99"):
        with pytest.raises(ConfigError):
            since_of(bad, 0.0)


def test_a_stream_that_cannot_show_everything(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["report", source, "--group=c0"]) == 0
    stream.flush()
    assert rb"BLOCKED 500 ms \xb7 io" in stream.buffer.getvalue()  # type: ignore[attr-defined]


def test_what_single_stalls_no_longer_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = ledger(tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM event WHERE fingerprint = 'c0ffee12'")
    assert main(["report", str(path), "--since=2000-01-01"]) == 0
    assert "single stalls are kept back to 2026-11-22 " in capsys.readouterr().err
