"""Many collections of radiographs -> one table."""

from pulmoscope.cohort.read_table import read_table
from pulmoscope.cohort.sources import SOURCES, SourceRows, read_source
from pulmoscope.cohort.split_plan import SplitPlan, parse_split
from pulmoscope.cohort.summary import summarise
from pulmoscope.cohort.table import COLUMNS, Cohort, Radiograph
from pulmoscope.cohort.where import Condition, parse_where

__all__ = [
    "COLUMNS",
    "SOURCES",
    "Cohort",
    "Condition",
    "Radiograph",
    "SourceRows",
    "SplitPlan",
    "parse_split",
    "parse_where",
    "read_source",
    "read_table",
    "summarise",
]
