"""Commands of ours in aiomonitor's console: `answers` makes the texts, `monitor` stands between it and aiomonitor."""
