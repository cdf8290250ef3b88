"""A project's own settings: `[tool.loophound]` in its pyproject.toml."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loophound.errors import ConfigError

if TYPE_CHECKING:
    from loophound.detector.allowances import Allowance

KEYS = ("allow", "server")
ALLOWANCE_KEYS = ("code", "reason")
EXAMPLE = '{ code = "app.rules:load", reason = "read once" }'


def find_pyproject(directory: Path) -> Path | None:
    """The nearest pyproject.toml, in `directory` or above it."""
    folders = (directory.resolve(), *directory.resolve().parents)
    return next((file for folder in folders if (file := folder / "pyproject.toml").is_file()), None)


def read_table(file: Path) -> dict[str, Any]:
    """The table, empty where there is none. Raises ConfigError for a file that is not TOML and for unknown keys.

    A file that does not name Loophound is not parsed: each start would wait for it, and its mistakes
    are not ours to tell.
    """
    import tomllib  # as late as difflib below: each start of a server loads this module

    try:
        content = file.read_bytes()
        if b"loophound" not in content:
            return {}
        table = tomllib.loads(content.decode("utf-8")).get("tool", {}).get("loophound", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: [tool.loophound] is a table")
    check_keys(table, KEYS, f"{file}: [tool.loophound]")
    return table


def allowances(file: Path) -> list[Allowance]:
    """What `allow` lists: tables with `code` and `reason`. Raises ConfigError for anything else."""
    return list(_allowances(read_table(file).get("allow", []), f"{file}: [tool.loophound] allow"))


def _allowances(entries: Any, where: str) -> Iterator[Allowance]:
    if not isinstance(entries, list):
        raise ConfigError(f"{where} is a list of tables such as {EXAMPLE}")
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise ConfigError(f"{where}, entry {number} is a table such as {EXAMPLE}; got {entry!r}")
        yield allowance(entry, f"{where}, entry {number}")


def allowance(entry: dict[str, Any], where: str) -> Allowance:
    """The allowance that a table makes. Raises ConfigError, which begins with `where`."""
    # Imported here: a server without detection reads its own options by this module.
    from loophound.detector.allowances import Allowance

    check_keys(entry, ALLOWANCE_KEYS, where)
    for key in ALLOWANCE_KEYS:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise ConfigError(f"{where} needs a {key}, as {EXAMPLE} has")
    if not all(part.isidentifier() for part in entry["code"].replace(":", ".", 1).split(".")):
        raise ConfigError(f'{where}: code is "module" or "module:function"; got {entry["code"]!r}')
    return Allowance(entry["code"], entry["reason"])


def check_keys(table: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raises ConfigError for a key that is not known, with the one that was probably meant."""
    for key in table:
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{where} has no key {key!r}: {hint}")
