"""Random changes to batches of pictures: what may happen, named presets, and the doing of it."""

from pulmoscope.imaging.augmentation.batch import augment
from pulmoscope.imaging.augmentation.mix import mix
from pulmoscope.imaging.augmentation.presets import PRESETS
from pulmoscope.imaging.augmentation.spec import Augment

__all__ = ["PRESETS", "Augment", "augment", "mix"]
