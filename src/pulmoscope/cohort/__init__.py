"""Many collections of radiographs -> one table."""

from pulmoscope.cohort.duplicates import group_rows
from pulmoscope.cohort.phantom import draw_phantom_cohort
from pulmoscope.cohort.read_table import read_table
from pulmoscope.cohort.sources import SOURCES, SourceRows, read_source
from pulmoscope.cohort.split_plan import read_plan
from pulmoscope.cohort.splits import carve_validation
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
    "carve_validation",
    "draw_phantom_cohort",
    "group_rows",
    "parse_where",
    "read_plan",
    "read_source",
    "read_table",
    "summarise",
]
