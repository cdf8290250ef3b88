"""`--env-file`: variables from a file, in the form that shells and python-dotenv share.

# a comment
NAME=value              export NAME=value works too
NAME='as it stands'     nothing is special between single quotes
NAME="with ${OTHER}"    \\n, \\t, \\" and \\\\ between double quotes; ${OTHER} there and without quotes
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from loophound.errors import ConfigError

_LINE = re.compile(
    r"""\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?:'([^']*)'|"((?:[^"\\]|\\.)*)"|([^'"\s#](?:[^#]|(?<!\s)\#)*)?)
        \s*(?:\#.*)?""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def missing_variables(file: str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the file that `environ` has not. Raises ConfigError with the file and the line."""
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--env-file {file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"--env-file {file}: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"--env-file {file}, line {number}: NAME=value is wanted")
        found[match[1]] = _value(match, {**found, **environ})
    return {name: value for name, value in found.items() if name not in environ}


def _value(match: re.Match[str], known: Mapping[str, str]) -> str:
    _, literal, quoted, plain = match.groups()
    if literal is not None:
        return literal
    text = (plain or "").rstrip() if quoted is None else quoted

    def meant(piece: re.Match[str]) -> str:
        if piece[1] is not None:
            return known.get(piece[1], "")
        return _ESCAPES.get(piece[2], piece[0]) if quoted is not None else piece[0]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\\(.)", meant, text)
