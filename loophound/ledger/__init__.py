"""The ledger: stalls grouped by fingerprint, kept in SQLite or read from a record file."""
