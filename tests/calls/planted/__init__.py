"""Blocking calls, each beside a twin that is innocent: an application, for several servers.

The line of a planted call has `# planted` on it.
"""
