"""The live feed, from the reader's side: where it is, which servers have one, and what it says."""

from loophound.dashboards.feed.finding import Found, find
from loophound.dashboards.feed.place import default_path, runtime_directory
from loophound.dashboards.feed.reader import FeedReader, Message

SCHEMA = "loophound.feed/1"

__all__ = ["SCHEMA", "FeedReader", "Found", "Message", "default_path", "find", "runtime_directory"]
