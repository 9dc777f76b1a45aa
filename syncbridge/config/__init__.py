"""What is set: syncbridge.toml, its layers and its sections."""

from syncbridge.config.sections import Duration, readable
from syncbridge.config.settings import ROOT_KEYS, SECTIONS, Settings, load

__all__ = ["ROOT_KEYS", "SECTIONS", "Duration", "Settings", "load", "readable"]
