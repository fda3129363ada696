"""The figures of a run: each a function of arrays or tables that returns a Matplotlib figure."""

from pulmoscope.report.figures.confusion import draw_confusion
from pulmoscope.report.figures.curves import draw_curves
from pulmoscope.report.figures.distribution import draw_class_distribution
from pulmoscope.report.figures.grid import GridCell, draw_prediction_grid, explain_choice, select_cells
from pulmoscope.report.figures.reliability import draw_reliability
from pulmoscope.report.figures.roc import draw_roc
from pulmoscope.report.figures.save import save_figures
from pulmoscope.report.figures.training import chosen_epoch, draw_training_curves

__all__ = [
    "GridCell",
    "chosen_epoch",
    "draw_class_distribution",
    "draw_confusion",
    "draw_curves",
    "draw_prediction_grid",
    "draw_reliability",
    "draw_roc",
    "draw_training_curves",
    "explain_choice",
    "save_figures",
    "select_cells",
]
