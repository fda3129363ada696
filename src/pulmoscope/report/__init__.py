"""Tables to figures and one self-contained page."""

from pulmoscope.report.caveat import Caveat
from pulmoscope.report.caveats import find_caveats
from pulmoscope.report.figures import (
    draw_class_distribution,
    draw_confusion,
    draw_curves,
    draw_prediction_grid,
    draw_reliability,
    draw_roc,
    draw_training_curves,
    save_figures,
)
from pulmoscope.report.page import write_report
from pulmoscope.report.replay_page import ReplayPage, write_replay_page

__all__ = [
    "Caveat",
    "ReplayPage",
    "draw_class_distribution",
    "draw_confusion",
    "draw_curves",
    "draw_prediction_grid",
    "draw_reliability",
    "draw_roc",
    "draw_training_curves",
    "find_caveats",
    "save_figures",
    "write_replay_page",
    "write_report",
]
