"""The files of examples/deploy, as they stand: their commands run, and nginx, systemd and Kubernetes take them.

An image needs a registry and a cluster needs machines, which tests do not have: the Dockerfile's command and health
check run as process 1 of namespaces of its own, and the manifests are held against what their commands do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loophound import config
from loophound.cli.options import values
from loophound.cli.serve import command
from tests.supervisor.namespaces import POSSIBLE, contained
from tests.supervisor.running import wait_until

yaml = pytest.importorskip("yaml")

DEPLOY = Path(__file__).parent.parent.parent / "examples" / "deploy"
NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
LOOPHOUND = [sys.executable, "-m", "loophound"]


def options_of(words: list[str]) -> config.Config:
    """What a command line of ours asks for. Raises what the command line raises."""
    assert words[:2] == ["loophound", "serve"]
    given = command.make_context("serve", words[2:]).params
    app = given.pop("app")
    return config.Config(app, **values({name: value for name, value in given.items() if name in config.table()}))


def dockerfile() -> dict[str, list[str]]:
    """The arguments of each instruction, by its name."""
    text = re.sub(r"(?m)^#.*\n", "", (DEPLOY / "Dockerfile").read_text()).replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest.strip())
    return found


def documents(name: str) -> dict[str, Any]:
    """The manifests of a file, by their kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / name).read_text())}


def unit(name: str) -> dict[str, str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_the_image_is_slim_without_root_and_knows_its_health() -> None:
    image = dockerfile()
    assert [re.fullmatch(r"python:3\.\d+-slim", base) is not None for base in image["FROM"]] == [True]
    [user] = image["USER"]
    assert int(user) > 0  # a number, by which Kubernetes tells that it is not root
    assert f"--uid {user} " in image["RUN"][0]
    served = options_of(json.loads(image["CMD"][0]))
    assert image["EXPOSE"] == [f"{served.port} {served.metrics and served.metrics.rpartition(':')[2]}"]
    assert served.host == "0.0.0.0"


@pytest.mark.once
@pytest.mark.skipif(not POSSIBLE, reason="wants root and unshare(1)")
def test_the_command_of_the_image_as_process_1(tmp_path: Path) -> None:
    image = dockerfile()
    words = json.loads(image["CMD"][0])
    check = json.loads(image["HEALTHCHECK"][0].partition("CMD")[2])
    assert (words[0], check[0]) == ("loophound", "python")
    with contained([*LOOPHOUND, *words[1:]], DEPLOY, log=tmp_path) as server:
        wait_until(lambda: server.status("http://127.0.0.1:8000/") == 200, "it serves")
        wait_until(lambda: server.run(sys.executable, *check[1:]).returncode == 0, "it is healthy")
        server.send(15)
        wait_until(lambda: server.status("http://127.0.0.1:9464/readyz") == 503, "it is not ready any more")
        assert server.status("http://127.0.0.1:8000/") == 200  # and serves on
        assert server.end() == 0


def test_the_manifests_fit_the_server() -> None:
    found = documents("kubernetes.yaml")
    pod = found["Deployment"]["spec"]["template"]
    [container] = pod["spec"]["containers"]
    served = options_of(container["args"])
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert served.metrics is not None
    assert ports == {"http": served.port, "metrics": int(served.metrics.rpartition(":")[2])}
    assert (served.host, served.workers) == ("0.0.0.0", None)
    probes = {name: container[name]["httpGet"] for name in ("readinessProbe", "livenessProbe")}
    assert probes["readinessProbe"] == {"path": "/readyz", "port": "metrics"}
    assert probes["livenessProbe"] == {"path": "/healthz", "port": "metrics"}
    # Readiness is seen to fail before the server stops to accept, and requests have their time after that.
    ready = container["readinessProbe"]
    assert served.shutdown_delay > ready["periodSeconds"] * ready["failureThreshold"]
    grace_s = served.timeout_graceful_shutdown
    assert grace_s is not None
    assert pod["spec"]["terminationGracePeriodSeconds"] > served.shutdown_delay + grace_s
    assert container["securityContext"]["runAsNonRoot"]
    assert f"{container['securityContext']['runAsUser']}" == dockerfile()["USER"][0]
    assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
    labels = pod["metadata"]["labels"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == found["Service"]["spec"]["selector"] == labels
    assert found["Service"]["spec"]["ports"] == [{"port": 80, "targetPort": "http"}]


def test_the_manifests_are_what_kubernetes_knows() -> None:
    validate = pytest.importorskip("kubernetes_validate")
    for document in documents("kubernetes.yaml").values():
        validate.validate(document, validate.latest_version(), strict=True)


def test_the_unit_fits_the_server() -> None:
    service = unit("shop.service")
    program, *words = shlex.split(service["ExecStart"])
    served = options_of([Path(program).name, *words])
    assert (served.workers, served.fd, served.bind) == (4, None, ())  # the sockets are systemd's
    assert served.timeout_graceful_shutdown is not None
    assert int(service["TimeoutStopSec"]) > served.timeout_graceful_shutdown + served.shutdown_delay
    assert int(service["WatchdogSec"]) >= 2
    assert service["RestartPreventExitStatus"].split() == ["2", "3"]
    assert "-HUP $MAINPID" in service["ExecReload"]


@pytest.mark.once
@pytest.mark.skipif(not POSSIBLE or shutil.which("systemd-analyze") is None, reason="wants root and systemd-analyze")
def test_systemd_takes_the_units() -> None:
    """Only read: nothing is started. What ExecStart names stands in a mount of our own."""
    program = shlex.split(unit("shop.service")["ExecStart"])[0]
    script = f'mount -t tmpfs tmpfs /srv && mkdir -p {Path(program).parent} && ln -s /bin/true {program} && exec "$@"'
    words = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "shop.service", "shop.socket"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *words],
        cwd=DEPLOY, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.once
@pytest.mark.skipif(not POSSIBLE or (NGINX is None and not os.environ.get("CI")), reason="wants root and nginx")
def test_nginx_in_front(tmp_path: Path) -> None:
    assert NGINX is not None, "install nginx"
    conf = tmp_path / "nginx.conf"
    temporary = " ".join(
        f"{name}_temp_path {tmp_path}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    conf.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; user root; events {{}}\n"
        f"http {{ access_log off; {temporary} include {DEPLOY}/nginx.conf; }}\n"
    )
    words = [*LOOPHOUND, "serve", "shop:app", "--uds=/run/shop/shop.sock", "--workers=2", "--forwarded-allow-ips=unix"]
    setup = f"mount -t tmpfs tmpfs /run && mkdir /run/shop && {NGINX} -t -c {conf} && ({NGINX} -c {conf} &)"
    with contained(words, DEPLOY, log=tmp_path, setup=setup) as server:
        wait_until(lambda: server.status("http://127.0.0.1/") == 200, "nginx passes on")
        assert "test is successful" in server.text
        logged = re.compile(r'127\.0\.0\.1:\d+ - "GET / HTTP/1\.1" 200')
        wait_until(lambda: logged.search(server.text) is not None, "the client is nginx's")
        assert server.end() == 0
