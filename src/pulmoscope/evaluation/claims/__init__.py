"""The claims auditor: what a report prints, and which definition, matrix or contradiction is behind each number.

A claim file (:mod:`~pulmoscope.evaluation.claims.schema`) holds class counts, matrices and metrics with their printed
digits. :func:`audit_claims` says of each number whether a confusion matrix gives it under its name, whether another
definition fits, whether none can, or what is missing to judge it, with its 95% interval.
"""

from pulmoscope.evaluation.claims.audit import Audit, audit_claims, judge_table
from pulmoscope.evaluation.claims.bounds import Interval, auc_interval
from pulmoscope.evaluation.claims.definitions import Definition, class_definitions, overall_definitions
from pulmoscope.evaluation.claims.feasible import Found, Wanted, search
from pulmoscope.evaluation.claims.formulas import formula_of
from pulmoscope.evaluation.claims.printed import Printed, parse_printed
from pulmoscope.evaluation.claims.schema import (
    Claim,
    ClaimFile,
    ClaimTable,
    parse_claims,
    read_claims,
    shipped_claims,
)
from pulmoscope.evaluation.claims.verdicts import ALARMS, MEANINGS, Verdict

__all__ = [
    "ALARMS",
    "MEANINGS",
    "Audit",
    "Claim",
    "ClaimFile",
    "ClaimTable",
    "Definition",
    "Found",
    "Interval",
    "Printed",
    "Verdict",
    "Wanted",
    "auc_interval",
    "audit_claims",
    "class_definitions",
    "formula_of",
    "judge_table",
    "overall_definitions",
    "parse_claims",
    "parse_printed",
    "read_claims",
    "search",
    "shipped_claims",
]
