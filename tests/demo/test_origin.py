from __future__ import annotations

from loophound.detector.blame import Origin

INSTALLED = "/venv/lib/python3.12/site-packages/loophound/"


def test_the_demo_is_an_application_where_loophound_is_an_installed_package() -> None:
    origin = Origin(("/usr/lib/python3.12/",), INSTALLED, own_applications=(f"{INSTALLED}demo/",))
    assert origin.is_app(f"{INSTALLED}demo/app.py")
    assert not origin.is_app(f"{INSTALLED}server/cycle.py")
    assert not origin.is_app("/venv/lib/python3.12/site-packages/requests/api.py")
