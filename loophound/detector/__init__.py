"""The detector: a pure core, thin adapters that feed it, and the records that come out."""
