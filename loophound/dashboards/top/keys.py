"""What a terminal sends for a key, put into the names that the tables of interface.py use."""

from __future__ import annotations

ESCAPE = "\x1b"
ESCAPE_ALONE_S = 0.05  # the rest of a sequence comes at once; a key that is just Escape has no rest

# ECMA-48 and xterm's control sequences (invisible-island.net/xterm/ctlseqs); `O` is the application mode's.
SEQUENCES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right", "OD": "left",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end",
    "[5~": "page up", "[6~": "page down", "[Z": "shift-tab", "[3~": "delete",
}  # fmt: skip
CONTROLS = {"\r": "enter", "\n": "enter", "\t": "tab", "\x7f": "backspace", "\x08": "backspace", "\x15": "ctrl-u",
            "\x0c": "ctrl-l", "\x03": "ctrl-c", "\x04": "ctrl-d"}  # fmt: skip


class Keys:
    """Takes bytes as they come, and gives names of keys; a character is its own name."""

    def __init__(self) -> None:
        self._bytes = b""
        self._text = ""

    @property
    def waiting(self) -> bool:
        """An escape came, and what belongs to it may follow."""
        return bool(self._text)

    def feed(self, data: bytes) -> list[str]:
        self._bytes += data
        try:
            text, self._bytes = self._bytes.decode(), b""
        except UnicodeDecodeError as error:
            # A character may be cut where a read ended; anything else is no text.
            if error.reason == "unexpected end of data" and len(self._bytes) - error.start < 4:
                text, self._bytes = self._bytes[: error.start].decode(errors="ignore"), self._bytes[error.start :]
            else:
                text, self._bytes = self._bytes.decode(errors="ignore"), b""
        self._text += text
        return list(self._take())

    def flush(self) -> list[str]:
        """Nothing followed: an escape that came was the key of that name."""
        alone = self._text == ESCAPE
        self._text = ""
        return ["escape"] if alone else []

    def _take(self) -> list[str]:
        found = []
        while self._text:
            if self._text[0] != ESCAPE:
                key, self._text = self._text[0], self._text[1:]
                name = CONTROLS.get(key, key if key.isprintable() else "")
            else:
                length = _length(self._text)
                if length == 0:
                    break  # not whole yet
                sequence, self._text = self._text[1:length], self._text[length:]
                name = SEQUENCES.get(sequence, "") if sequence else "escape"
            if name:
                found.append(name)
        return found


def _length(text: str) -> int:
    """Of the sequence that the text begins with; 0 while it is not whole."""
    if len(text) == 1:
        return 0
    if text[1] == "O":
        return 3 if len(text) >= 3 else 0
    if text[1] != "[":
        return 1  # Escape, and then something else
    for place, character in enumerate(text[2:], 3):
        if "@" <= character <= "~":  # the final byte
            return place
    return 0 if len(text) < 32 else len(text)
