"""docs/options.md, made from the option table: `python -m loophound.cli.docs docs/options.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from loophound import config
from loophound.cli.options import shown
from loophound.config import Kind, Option

HEAD = """\
# Options

<!-- Made by `make docs` from loophound/config.py; do not edit. -->

A value on the command line wins over the environment, the environment over the file, and the file over
the default. An empty variable counts as not set. The file is the nearest pyproject.toml, in the current
directory or above it, with a table `[tool.loophound.server]`; or `--config FILE`, a TOML file with the
options at its top. Keys are the options without their dashes, such as `port = 8080`, `access-log = false`,
`timeout-graceful-shutdown = "none"` or `header = ["X-Frame-Options: DENY"]`; paths in it start at the
current directory. A place to listen replaces one from further down as a whole: `--bind` leaves nothing of a `port` in
the file. In the environment, several headers or addresses stand one a line, and where `LOOPHOUND_PORT` is not set,
`UVICORN_PORT` counts, and so for each option. A flag may have `true` or `false` after it.
`--env-file FILE` sets variables (`NAME=value` a line) that the environment does not have, for the server
and the application.

`exec` takes `--detect-blocking`, `--record` and `--ledger`;
there, detection is on, and the flag only sets the threshold.

| option | environment | takes | default | |
|---|---|---|---|---|
"""


def options_page() -> str:
    """The page, as it has to be."""
    return HEAD + "".join(_row(name, *entry) for name, entry in config.table().items())


def _row(name: str, spec: Option, kind: Kind, default: object) -> str:
    variables = " ".join(f"`{variable}`" for variable in (config.env_of(name), spec.other_env) if variable)
    takes = config.wanted(name) + (", or none" if kind.nullable and kind.type is not str else "")
    default_text = "" if default in (None, "", ()) else f"`{shown(default)}`"
    text = spec.help + (f" The flag alone means {spec.optional_value}." if spec.optional_value else "")
    return f"| `{_flags(name, spec, kind)}` | {variables} | {takes} | {default_text} | {text} |\n"


def _flags(name: str, spec: Option, kind: Kind) -> str:
    flag = config.flag_of(name)
    if kind.type is bool:
        return f"{flag}` `--no-{flag[2:]}"
    if spec.optional_value:
        return f"{flag}[={spec.metavar}]"
    return f"{flag} {spec.metavar}".rstrip()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(options_page(), encoding="utf-8")
