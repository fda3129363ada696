"""Synthetic chest radiographs with known lungs, lesions and planted shortcuts."""

from pulmoscope.cohort.phantom.draw import draw_phantom_cohort
from pulmoscope.cohort.phantom.film import CLASSES, PhantomFilm, draw_radiograph
from pulmoscope.cohort.phantom.patient import Patient, draw_patient

__all__ = ["CLASSES", "Patient", "PhantomFilm", "draw_patient", "draw_phantom_cohort", "draw_radiograph"]
