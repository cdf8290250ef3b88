"""What `--fail-on-stall` finds in the test suites of other projects, what it changes and what it costs.

    python benchmarks/real_suites.py DIRECTORY starlette uvicorn httpx [--pairs 3]

Into DIRECTORY, which is to lie outside of the repository, go a virtual environment and each project's sdist
from PyPI; both are kept for the next time. Each suite runs with the plugin and without, in pairs of which every
second one begins with the plugin. The first pair is not timed (it compiles and caches), of the others the medians
of the ratios are told, of the run's time and of the CPU time of pytest.

On a shared machine two runs of one suite may differ by a quarter. What disturbs both alike does not count: with
`--together` the two runs of a pair share one core at the same time, which makes the ratio of their CPU times
good to 1 %. Each takes twice as long then, so the watchdog's share in it, which is of time, comes out twice as large.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click
from machine import describe

LIMIT_MS = 200
REPOSITORY = Path(__file__).resolve().parent.parent
NEEDS = {
    "starlette": ["httpx2[zstd]", "httpx", "itsdangerous", "jinja2", "opentelemetry-sdk", "python-multipart", "pyyaml"],
    "httpx": [
        "httpx",
        "brotli",
        "chardet",
        "click",
        "h2",
        "pygments",
        "rich",
        "socksio",
        "trustme",
        "uvicorn",
        "zstandard",
    ],
    "uvicorn": [
        "a2wsgi",
        "httpx2",
        "httptools",
        "pytest-mock",
        "pytest-xdist",
        "python-dotenv",
        "pyyaml",
        "trustme",
        "watchfiles",
        "websockets",
        "wsproto",
    ],
}
OPTIONS = {
    "httpx": ["-W", "ignore"],  # its release is older than some of what it runs with
    "uvicorn": ["-n", "0", "--ignore=tests/benchmarks"],  # in one process, where its own settings ask for eight
}

NETWORK_OF_ITS_OWN = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]


@dataclass(frozen=True, slots=True)
class Run:
    outcomes: dict[str, str]  # by test
    wall_s: float
    cpu_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Run the suites of other projects with the plugin and without.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("projects", nargs="+", choices=sorted(NEEDS))
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--together", action="store_true", help="run both of a pair at once, on one core")
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    if directory.is_relative_to(REPOSITORY):
        parser.error("DIRECTORY is to lie outside of the repository")
    directory.mkdir(parents=True, exist_ok=True)
    python = environment(directory, arguments.projects)
    click.echo(describe())
    for project in arguments.projects:
        compare(python, source(directory, python, project), project, arguments.pairs, together=arguments.together)


def environment(directory: Path, projects: list[str]) -> Path:
    python, stamp = directory / "venv/bin/python", directory / f"venv/{'-'.join(projects)}"
    if stamp.exists():
        return python
    if not python.exists():
        venv.create(directory / "venv", with_pip=True)
    needs = {need for project in projects for need in NEEDS[project]}
    pip(python, "install", "pytest", "anyio", "trio", "uvloop", "--editable", str(REPOSITORY), *sorted(needs))
    stamp.touch()
    return python


def source(directory: Path, python: Path, project: str) -> Path:
    """The project's sdist, unpacked."""
    if not list(directory.glob(f"{project}-*.tar.gz")):
        pip(python, "download", "--no-deps", "--no-binary", ":all:", "--dest", str(directory), project)
    [archive] = directory.glob(f"{project}-*.tar.gz")
    unpacked = directory / archive.name.removesuffix(".tar.gz")
    if not unpacked.exists():
        subprocess.run(["tar", "xzf", archive], cwd=directory, check=True)
    return unpacked


def pip(python: Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)


def compare(python: Path, directory: Path, project: str, pairs: int, *, together: bool) -> None:
    guard = [f"--fail-on-stall={LIMIT_MS}", "--stall-json=stalls.json"]
    options = {"without": ["-p", "no:loophound"], "guarded": guard}
    runs: dict[str, list[Run]] = {"without": [], "guarded": []}
    core = {max(os.sched_getaffinity(0))} if together else os.sched_getaffinity(0)
    for number in range(1 + pairs):
        with ThreadPoolExecutor(len(options) if together else 1) as pool:
            names = sorted(options, reverse=number % 2 == 0)
            begun = {name: pool.submit(run, python, directory, project, name, options[name], core) for name in names}
        for name in names:
            runs[name].append(begun[name].result())
    without, guarded = runs.values()
    seen = {name: [run.outcomes for run in each] for name, each in runs.items()}
    tests = {test for each in seen.values() for outcomes in each for test in outcomes}
    came = {test: {name: {each.get(test, "not run") for each in seen[name]} for name in seen} for test in tests}
    changed = {test: outcomes for test, outcomes in came.items() if outcomes["without"] != outcomes["guarded"]}
    counts = Counter(guarded[-1].outcomes.values())
    click.echo(f"{directory.name}: {', '.join(f'{count} {outcome}' for outcome, count in counts.most_common())}")
    click.echo(f"  {len(changed)} tests came out otherwise with the plugin than without, in {1 + pairs} runs each")
    for test, outcomes in sorted(changed.items()):
        click.echo(f"  {test}: {outcomes['without']} -> {outcomes['guarded']}")
    for told in json.loads((directory / "stalls.json").read_text())["stalls"]:
        stall, culprit = told["stall"], told["stall"]["culprit"] or {"file": "-", "line": 0}
        what = f"{told['verdict']}: {stall['duration_s'] * 1000:.0f} ms, {stall['cause']}"
        click.echo(f"  {what} {culprit['file']}:{culprit['line']} {told['test']} {told['why']}")
    for name in ("wall_s", "cpu_s") if pairs else ():
        ratios = [getattr(on, name) / getattr(off, name) for on, off in zip(guarded[1:], without[1:], strict=True)]
        base_s = statistics.median(getattr(off, name) for off in without[1:])
        shown = " ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        click.echo(f"  {name}: {base_s:.1f} without, ratio {statistics.median(ratios):.3f} (of {shown})")


def run(python: Path, directory: Path, project: str, name: str, options: list[str], cores: set[int]) -> Run:
    results = directory / f"{name}.xml"
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}"]
    # The first run is to leave byte code behind, or each would pay for compiling all of us.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command += [*OPTIONS.get(project, []), *options]
    if len(cores) == 1:  # beside another, which may want the same port
        command = [*NETWORK_OF_ITS_OWN, *command]
    began_s = time.monotonic()
    started = subprocess.Popen(command, cwd=directory, env=environment, stdout=subprocess.DEVNULL)
    os.sched_setaffinity(started.pid, cores)
    _, status, used = os.wait4(started.pid, 0)  # which tells of this child alone, and of those for which it waited
    started.returncode = os.waitstatus_to_exitcode(status)
    return Run(dict(outcomes(results)), time.monotonic() - began_s, used.ru_utime + used.ru_stime)


def outcomes(file: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(file).iter("testcase"):
        parts = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
        yield f"{case.get('classname')}::{case.get('name')}", parts[0] if parts else "passed"


if __name__ == "__main__":
    sys.exit(main())
