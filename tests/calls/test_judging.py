from __future__ import annotations

import pytest

from loophound.calls.judging import caller_index, importer_index
from loophound.detector.blame import Origin
from loophound.detector.frames import CodeFrame

ORIGIN = Origin(("/usr/lib/python3.11/",), "/opt/loophound/")
SERVER = CodeFrame("/venv/site-packages/uvicorn/protocols/http.py", 1, "run_asgi")
OURS = CodeFrame("/opt/loophound/middleware/blocking_calls.py", 1, "BlockingCallMiddleware.__call__")
FRAMEWORK = CodeFrame("/venv/site-packages/starlette/routing.py", 1, "app")
APP = CodeFrame("/srv/app.py", 44, "show")
GENERATED = CodeFrame("<string>", 6, "__init__")


def std(file: str, function: str = "f") -> CodeFrame:
    return CodeFrame(f"/usr/lib/python3.11/{file}", 1, function)


@pytest.mark.parametrize(
    ("inner", "named"),
    [
        ([APP], APP),
        ([APP, std("subprocess.py")], APP),
        ([APP, CodeFrame("/venv/site-packages/requests/api.py", 1, "get")], APP),
        ([APP, GENERATED], APP),
        ([], FRAMEWORK),
        ([APP, std("asyncio/base_events.py"), std("subprocess.py")], None),
        ([APP, std("linecache.py")], None),
        ([std("inspect.py")], None),
        ([APP, std("mimetypes.py", "guess_type"), std("mimetypes.py", "init"), std("mimetypes.py", "f")], None),
        ([APP, std("threading.py", "Thread.start"), std("threading.py", "Event.wait")], None),
        ([APP, std("threading.py", "Thread.join")], APP),
        ([APP, CodeFrame("<frozen importlib._bootstrap_external>", 1, "get_data")], None),
        ([APP, CodeFrame("/venv/site-packages/coverage/python.py", 1, "read")], None),
        ([APP, std("pdb.py")], None),
        ([APP, CodeFrame("/opt/loophound/server/access_log.py", 1, "write")], None),
        ([APP, CodeFrame("/opt/loophound/middleware/offload.py", 1, "send"), FRAMEWORK], APP),
        ([CodeFrame("/srv/asyncio/app.py", 3, "show")], CodeFrame("/srv/asyncio/app.py", 3, "show")),
    ],
)
def test_who_is_named(inner: list[CodeFrame], named: CodeFrame | None) -> None:
    frames = [SERVER, OURS, FRAMEWORK, *inner]
    index = caller_index(frames, 2, ORIGIN)
    assert (None if index is None else frames[index]) == named


BOOTSTRAP = CodeFrame("<frozen importlib._bootstrap>", 1, "_handle_fromlist")


@pytest.mark.parametrize(
    ("inner", "named"),
    [
        ([APP], APP),
        ([APP, BOOTSTRAP], APP),
        ([APP, std("importlib/__init__.py", "import_module"), BOOTSTRAP], APP),
        ([APP, CodeFrame("/venv/site-packages/httpx/_client.py", 1, "AsyncClient.__init__")], None),
        ([FRAMEWORK], None),
        ([], None),
        ([APP, BOOTSTRAP, CodeFrame("/srv/models.py", 1, "<module>")], None),
        ([APP, std("pdb.py")], None),
    ],
)
def test_who_imports(inner: list[CodeFrame], named: CodeFrame | None) -> None:
    frames = [SERVER, OURS, FRAMEWORK, *inner]
    index = importer_index(frames, 2, ORIGIN)
    assert (None if index is None else frames[index]) == named
