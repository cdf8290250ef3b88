"""What `--fail-on-stall` finds in the test suites of other projects, what it changes and what it costs.

    python benchmarks/real_suites.py DIRECTORY starlette httpx [--pairs 3]

Into DIRECTORY, which is to lie outside of the repository, go a virtual environment and each project's sdist
from PyPI. Each suite runs with the plugin and without, in turn: the first pair is not timed (it compiles and
caches), of the others the medians of the ratios are told, of the run's time and of the CPU time of pytest.
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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import click

LIMIT_MS = 200
REPOSITORY = Path(__file__).resolve().parent.parent
NEEDS = {
    "starlette": ["httpx2[zstd]", "httpx", "itsdangerous", "jinja2", "opentelemetry-sdk", "python-multipart", "pyyaml"],
    "httpx": ["brotli", "chardet", "click", "h2", "pygments", "rich", "socksio", "trustme", "uvicorn", "zstandard"],
}
OPTIONS = {"httpx": ["-W", "ignore"]}  # its release is older than some of what it runs with


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
    arguments = parser.parse_args()
    directory = arguments.directory.resolve()
    if directory.is_relative_to(REPOSITORY):
        parser.error("DIRECTORY is to lie outside of the repository")
    python = environment(directory, arguments.projects)
    for project in arguments.projects:
        compare(python, source(directory, python, project), project, arguments.pairs)


def environment(directory: Path, projects: list[str]) -> Path:
    python = directory / "venv/bin/python"
    if not python.exists():
        venv.create(directory / "venv", with_pip=True)
    needs = {need for project in projects for need in NEEDS[project]}
    pip(python, "install", "pytest", "anyio", "trio", "uvloop", "--editable", str(REPOSITORY), *sorted(needs))
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


def compare(python: Path, directory: Path, project: str, pairs: int) -> None:
    guard = [f"--fail-on-stall={LIMIT_MS}", "--stall-json=stalls.json"]
    without, guarded = [], []
    for _ in range(1 + pairs):
        without.append(run(python, directory, project, ["-p", "no:loophound"]))
        guarded.append(run(python, directory, project, guard))
    changed = {
        test: f"{without[-1].outcomes.get(test, 'not run')} -> {guarded[-1].outcomes.get(test, 'not run')}"
        for test in without[-1].outcomes.keys() | guarded[-1].outcomes.keys()
        if without[-1].outcomes.get(test) != guarded[-1].outcomes.get(test)
    }
    click.echo(f"{directory.name}: {len(guarded[-1].outcomes)} tests, of which {len(changed)} came out otherwise")
    for test, how in sorted(changed.items()):
        click.echo(f"  {test}: {how}")
    for told in json.loads((directory / "stalls.json").read_text())["stalls"]:
        stall, culprit = told["stall"], told["stall"]["culprit"] or {"file": "-", "line": 0}
        what = f"{told['verdict']}: {stall['duration_s'] * 1000:.0f} ms, {stall['cause']}"
        click.echo(f"  {what} {culprit['file']}:{culprit['line']} {told['test']} {told['why']}")
    for name in ("wall_s", "cpu_s"):
        ratios = [getattr(on, name) / getattr(off, name) for on, off in zip(guarded[1:], without[1:], strict=True)]
        base_s = statistics.median(getattr(off, name) for off in without[1:])
        shown = " ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
        click.echo(f"  {name}: {base_s:.1f} without, ratio {statistics.median(ratios):.3f} (of {shown})")


def run(python: Path, directory: Path, project: str, options: list[str]) -> Run:
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=junit.xml"]
    before, began_s = os.times(), time.monotonic()
    subprocess.run([*command, *OPTIONS.get(project, []), *options], cwd=directory, stdout=subprocess.DEVNULL)
    wall_s, after = time.monotonic() - began_s, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Run(dict(outcomes(directory / "junit.xml")), wall_s, cpu_s)


def outcomes(file: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(file).iter("testcase"):
        parts = [part.tag for part in case if part.tag in ("failure", "error", "skipped")]
        yield f"{case.get('classname')}::{case.get('name')}", parts[0] if parts else "passed"


if __name__ == "__main__":
    sys.exit(main())
