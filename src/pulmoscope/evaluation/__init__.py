"""Predictions to numbers: metrics with their intervals, from a predictions table alone.

The kernels take arrays and return numbers; a rate that is undefined is NaN, never 0.
"""

from pulmoscope.evaluation.bootstrap import Replicates, draw_weights, group_codes, resample
from pulmoscope.evaluation.brier import Brier, brier_by_class, brier_decomposition, brier_score
from pulmoscope.evaluation.calibration import (
    Binning,
    Reliability,
    event_reliability,
    expected_calibration_error,
    reliability,
)
from pulmoscope.evaluation.clustered import clustered_interval, effective_size
from pulmoscope.evaluation.compare import compare_predictions
from pulmoscope.evaluation.comparison import Comparison
from pulmoscope.evaluation.conformal import ConformalSets, fit_conformal
from pulmoscope.evaluation.conformal_table import ConformalReport, conformal_report
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
from pulmoscope.evaluation.decision import DecisionCurve, decision_curve, net_benefit
from pulmoscope.evaluation.delong import AurocInterval, delong_interval
from pulmoscope.evaluation.ensemble import Ensemble, build_ensemble
from pulmoscope.evaluation.four_counts import (
    Diagnostic,
    PerThousand,
    diagnostic,
    diagnostic_counts,
    per_thousand,
)
from pulmoscope.evaluation.intervals import (
    bootstrap_interval,
    clopper_pearson,
    difference_interval,
    jeffreys,
    percentile_interval,
    wilson,
)
from pulmoscope.evaluation.isotonic import Isotonic, fit_isotonic
from pulmoscope.evaluation.joined_interval import mean_share_interval
from pulmoscope.evaluation.learning_curve import LearningCurve, fit_learning_curve
from pulmoscope.evaluation.metrics import evaluate
from pulmoscope.evaluation.named import (
    MEANINGS,
    mean_ovr_accuracy,
    mean_specificity,
    named_estimates,
    ovr_balanced_accuracy,
)
from pulmoscope.evaluation.operating import OperatingPoint, Rule, choose_threshold
from pulmoscope.evaluation.operating_table import OperatingReport, operating_report
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
from pulmoscope.evaluation.paired_score import paired_score_interval
from pulmoscope.evaluation.planning import Plan, SampleSize, buderer_size, plan_study, wilson_size
from pulmoscope.evaluation.platt import Platt, fit_platt
from pulmoscope.evaluation.predictions import Predictions, read_predictions
from pulmoscope.evaluation.prevalence import PrevalenceShift
from pulmoscope.evaluation.recalibrate import Calibrator, calibrator_from_dict, fit_calibrator
from pulmoscope.evaluation.result import ClassMetrics, Estimate, Evaluation, IntervalMethod
from pulmoscope.evaluation.selective import RiskCoverage, risk_coverage
from pulmoscope.evaluation.selective_table import SelectiveReport, selective_report
from pulmoscope.evaluation.subgroup_levels import SubgroupLevels, subgroup_levels
from pulmoscope.evaluation.subgroups import Subgroups, evaluate_subgroups
from pulmoscope.evaluation.temperature import Temperature, fit_temperature
from pulmoscope.evaluation.transport import compare_transport
from pulmoscope.evaluation.transport_result import Transport
from pulmoscope.evaluation.uncertainty import EntropyParts, entropy_parts

__all__ = [
    "MEANINGS",
    "AurocInterval",
    "Binning",
    "Brier",
    "Calibrator",
    "ClassMetrics",
    "Comparison",
    "ConformalReport",
    "ConformalSets",
    "DeLong",
    "DecisionCurve",
    "Diagnostic",
    "Ensemble",
    "EntropyParts",
    "Estimate",
    "Evaluation",
    "IntervalMethod",
    "Isotonic",
    "LearningCurve",
    "McNemar",
    "OperatingPoint",
    "OperatingReport",
    "PairedDifference",
    "PerThousand",
    "Plan",
    "Platt",
    "Predictions",
    "PrevalenceShift",
    "Reliability",
    "Replicates",
    "RiskCoverage",
    "RocCurve",
    "Rule",
    "SampleSize",
    "SelectiveReport",
    "SubgroupLevels",
    "Subgroups",
    "Temperature",
    "Transport",
    "accuracy",
    "auroc",
    "balanced_accuracy",
    "bootstrap_interval",
    "brier_by_class",
    "brier_decomposition",
    "brier_score",
    "buderer_size",
    "build_ensemble",
    "calibrator_from_dict",
    "choose_threshold",
    "clopper_pearson",
    "clustered_interval",
    "compare_predictions",
    "compare_transport",
    "conformal_report",
    "confusion_matrix",
    "decision_curve",
    "delong_interval",
    "delong_paired",
    "diagnostic",
    "diagnostic_counts",
    "difference_interval",
    "draw_weights",
    "effective_size",
    "entropy_parts",
    "evaluate",
    "evaluate_subgroups",
    "event_reliability",
    "expected_calibration_error",
    "f1",
    "fit_calibrator",
    "fit_conformal",
    "fit_isotonic",
    "fit_learning_curve",
    "fit_platt",
    "fit_temperature",
    "group_codes",
    "holm",
    "jeffreys",
    "macro_auroc",
    "macro_f1",
    "mcnemar",
    "mean_ovr_accuracy",
    "mean_share_interval",
    "mean_specificity",
    "named_estimates",
    "net_benefit",
    "npv",
    "one_vs_rest_auroc",
    "operating_report",
    "ovr_balanced_accuracy",
    "paired_bootstrap",
    "paired_score_interval",
    "per_thousand",
    "percentile_interval",
    "plan_study",
    "ppv",
    "read_predictions",
    "reliability",
    "replicated_metric",
    "resample",
    "risk_coverage",
    "roc_curve",
    "selective_report",
    "sensitivity",
    "specificity",
    "subgroup_levels",
    "wilson",
    "wilson_size",
]
