"""Options of the server from a file: `[tool.loophound.server]` of pyproject.toml, or `--config FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from loophound import config
from loophound.errors import ConfigError
from loophound.project import find_pyproject, read_table

TABLE = "[tool.loophound.server]"
PLACES = ("host", "port", "uds", "fd", "bind")


def server_options(file: str | None, directory: Path) -> dict[str, Any]:
    """What `file` sets, or without one the nearest pyproject.toml in `directory` or above it.

    Raises ConfigError, with the name of the file and of the key.
    """
    if file is not None:
        return _of_file(Path(file))
    found = find_pyproject(directory)
    if found is None:
        return {}
    return from_table(read_table(found).get("server", {}), f"{found}: {TABLE}")


def over(lower: dict[str, Any], upper: dict[str, Any]) -> dict[str, Any]:
    """The options of both, where `upper` wins: with its own place to listen, not with half of `lower`'s."""
    if not {"bind", "uds", "fd"}.isdisjoint(upper):
        lower = {name: value for name, value in lower.items() if name not in PLACES}
    elif not {"host", "port"}.isdisjoint(upper):
        lower = {name: value for name, value in lower.items() if name not in ("bind", "uds", "fd")}
    return lower | upper


def _of_file(file: Path) -> dict[str, Any]:
    """The options at the top of the file, or in the table of a pyproject.toml."""
    import tomllib

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--config {file}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"--config {file}: {error}") from None
    if "tool" in content:
        return from_table(read_table(file).get("server", {}), f"{file}: {TABLE}")
    return from_table(content, f"{file}:")


def from_table(table: Any, where: str) -> dict[str, Any]:
    """The options in a TOML table. Raises ConfigError for unknown keys and for values that cannot be."""
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is a table")
    names = {config.flag_of(name)[2:].replace("-", "_"): name for name, _ in config.options()}
    names |= {name: name for name, _ in config.options()}
    found: dict[str, Any] = {}
    for key, value in table.items():
        name = names.get(key.replace("-", "_"))
        if name is None:
            from difflib import get_close_matches

            near = get_close_matches(key.replace("-", "_"), names, 1, 0.4)
            hint = f"did you mean {near[0]!r}?" if near else "docs/options.md lists them"
            raise ConfigError(f"{where} has no key {key!r}: {hint}")
        if name in found:
            raise ConfigError(f"{where} sets {name!r} twice")
        found[name] = _value(name, value, f"{where} {key}")
    return found


def _value(name: str, value: Any, label: str) -> Any:
    if config.stands_for_none(name, value):  # TOML has no null
        return None
    value = config.as_option(name, value)
    config.check(name, value, label)
    return value
