"""The command ``pulmoscope``: one thin file a verb, heavy imports inside the command."""

from pulmoscope.cli.app import main

__all__ = ["main"]
