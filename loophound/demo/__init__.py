"""A small application with planted blockers, traffic for it, and a judge of what was reported."""
