"""Where the sockets of running servers lie: one a server, named after its process."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from loophound.errors import ConfigError

SUFFIX = ".sock"
# sockaddr_un has 108 bytes for a path and its final zero (unix(7)).
LONGEST_PATH_BYTES = 107


def runtime_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """$XDG_RUNTIME_DIR/loophound, or /tmp/loophound-UID where the variable is unset or relative."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.path.isdir(runtime):
        return Path(runtime, "loophound")
    return Path(f"/tmp/loophound-{os.getuid()}")


def default_path(pid: int, environ: Mapping[str, str] = os.environ) -> Path:
    """The feed of the server with this process id, where no other place is named."""
    return runtime_directory(environ) / f"{pid}{SUFFIX}"


def make_directory(directory: Path) -> None:
    """Make the runtime directory, for this user alone.

    Raises ConfigError where it is somebody else's: anybody may make a directory in /tmp.
    """
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise ConfigError(f"--feed: cannot make the directory {str(directory)!r}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise ConfigError(f"--feed: {str(directory)!r} is not a directory of this user's; name another place")
    if stat.S_IMODE(status.st_mode) & 0o077:
        directory.chmod(0o700)
