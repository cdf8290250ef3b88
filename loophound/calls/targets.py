"""What a call was made on, in a few words: a path, a peer, an address, a statement. Never an error, never a secret."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LONGEST = 200


def _short(value: object) -> str:
    text = os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def first(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    value = args[0] if args else next(iter(kwargs.values()), None)
    return None if value is None else _short(value)


def second(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    value = args[1] if len(args) > 1 else None
    return _short(value) if isinstance(value, (str, bytes, os.PathLike)) else None


path = first
host = first


def seconds(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    return f"{args[0]:g} s"


def name(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    value = getattr(args[0], "name", None)
    return None if value is None else _short(value)


def descriptor(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    fd = args[0] if isinstance(args[0], int) else args[0].fileno()
    return os.readlink(f"/proc/self/fd/{fd}")


def peer(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Where the socket is connected to; of connect() and sendto(), where it was to go."""
    for value in args[1:]:
        if isinstance(value, tuple) and len(value) >= 2:
            return f"{value[0]}:{value[1]}"
    found = args[0].getpeername()
    return f"{found[0]}:{found[1]}" if isinstance(found, tuple) else _short(found) or None


def address(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    where = args[0] if args else kwargs["address"]
    return f"{where[0]}:{where[1]}"


def server(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    connection = args[0]
    return f"{connection.host}:{connection.port}"


def command(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """The program alone: arguments may hold a password."""
    words = args[0] if args else kwargs["args"]
    program = words.split()[0] if isinstance(words, str) else words if isinstance(words, os.PathLike) else words[0]
    return _short(program)


def command_of_popen(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    return command(args[1:], kwargs)


def statement(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """SQL as it was written, without its parameters."""
    value = args[1] if len(args) > 1 else None
    return " ".join(_short(value).split()) if isinstance(value, (str, bytes)) else None


def url(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Scheme, host and path: the query and the user may hold secrets."""
    from urllib.parse import urlsplit

    for value in (*args, kwargs.get("url")):
        text = value if isinstance(value, str) else getattr(value, "full_url", None)
        if isinstance(text, str) and "://" in text:
            parts = urlsplit(text)
            return _short(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    return None


def operation(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """ "s3 GetObject": the service and the operation."""
    return f"{args[0].meta.service_model.service_name} {args[1]}"


def member_of(limit: int) -> Callable[[Sequence[Any], Mapping[str, Any]], bool]:
    """Whether the member of a zip archive has so many bytes."""

    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        member = args[1]
        return bool((member if hasattr(member, "file_size") else args[0].getinfo(member)).file_size >= limit)

    return test


def archive_of(limit: int) -> Callable[[Sequence[Any], Mapping[str, Any]], bool]:
    """Whether all members, or the file that is to be added, have so many bytes."""

    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        if len(args) > 1 and isinstance(args[1], (str, os.PathLike)) and os.path.isfile(args[1]):
            return os.stat(args[1]).st_size >= limit
        return bool(sum(member.file_size for member in args[0].infolist()) >= limit)

    return test


def tar_of(limit: int) -> Callable[[Sequence[Any], Mapping[str, Any]], bool]:
    """Whether the members to be read, or what is to be added, have so many bytes."""

    def test(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        archive = args[0]
        if archive.mode != "r":
            return not os.path.isfile(args[1]) or os.stat(args[1]).st_size >= limit
        return bool(sum(member.size for member in archive.getmembers()) >= limit)

    return test
