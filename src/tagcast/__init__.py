"""Tagcast (标签群发): talk to the right people on WeChat, and prove what it did."""

from importlib.metadata import version

__version__ = version("tagcast")
