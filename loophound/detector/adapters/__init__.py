"""Thin adapters between the pure core and the running process."""
