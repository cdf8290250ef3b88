"""The report on what was recorded: groups of stalls as a table, in full, as JSON, a flame graph or a page."""
