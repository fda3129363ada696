"""One adapter a kind of collection."""

from pulmoscope.cohort.sources.base import Source, SourceRows
from pulmoscope.cohort.sources.registry import SOURCES, find_source, read_source

__all__ = ["SOURCES", "Source", "SourceRows", "find_source", "read_source"]
