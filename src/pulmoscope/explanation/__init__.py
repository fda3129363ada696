"""Model and picture to maps."""

from pulmoscope.explanation.cam import explain, last_spatial_layer

__all__ = ["explain", "last_spatial_layer"]
