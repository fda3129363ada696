"""Pulmoscope."""
