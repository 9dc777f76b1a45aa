"""Self-hosted two-way sync between Postgres and the systems sales and marketing live in."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("syncbridge")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
