"""From when on a blocked loop is worth a word, where nobody has said otherwise."""

DEFAULT_THRESHOLD_MS = 100.0
