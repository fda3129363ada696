"""Predictions to numbers: metrics with their intervals, from a predictions table alone.

The kernels take arrays and return numbers; a rate that is undefined is NaN, never 0.
"""

from pulmoscope.evaluation.bootstrap import Replicates, draw_weights, group_codes, resample
from pulmoscope.evaluation.calibration import Reliability, expected_calibration_error, reliability
from pulmoscope.evaluation.confusion import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1,
    macro_f1,
    npv,
    ppv,
    sensitivity,
    specificity,
)
from pulmoscope.evaluation.curves import RocCurve, auroc, macro_auroc, one_vs_rest_auroc, roc_curve
from pulmoscope.evaluation.intervals import percentile_interval, wilson
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.named import (
    MEANINGS,
    mean_ovr_accuracy,
    mean_specificity,
    named_estimates,
    ovr_balanced_accuracy,
)
from pulmoscope.evaluation.paired import (
    DeLong,
    McNemar,
    PairedDifference,
    delong_paired,
    holm,
    mcnemar,
    paired_bootstrap,
    replicated_metric,
)
from pulmoscope.evaluation.predictions import Predictions, read_predictions
from pulmoscope.evaluation.result import ClassMetrics, Estimate, Evaluation, IntervalMethod

__all__ = [
    "MEANINGS",
    "ClassMetrics",
    "DeLong",
    "Estimate",
    "Evaluation",
    "IntervalMethod",
    "McNemar",
    "PairedDifference",
    "Predictions",
    "Reliability",
    "Replicates",
    "RocCurve",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "confusion_matrix",
    "delong_paired",
    "draw_weights",
    "evaluate",
    "expected_calibration_error",
    "f1",
    "group_codes",
    "holm",
    "macro_auroc",
    "macro_f1",
    "mcnemar",
    "mean_ovr_accuracy",
    "mean_specificity",
    "named_estimates",
    "npv",
    "one_vs_rest_auroc",
    "ovr_balanced_accuracy",
    "paired_bootstrap",
    "percentile_interval",
    "ppv",
    "read_predictions",
    "reliability",
    "replicated_metric",
    "resample",
    "roc_curve",
    "sensitivity",
    "specificity",
    "wilson",
]
