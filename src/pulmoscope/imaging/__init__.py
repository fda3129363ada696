"""Files to pixels: decoding, fingerprints, the preprocessing recipe, the store, augmentation."""

from pulmoscope.imaging.augmentation import PRESETS, Augment, augment, mix
from pulmoscope.imaging.decode import Decoded, decode
from pulmoscope.imaging.fingerprint import Fingerprint, fingerprint, fingerprint_many
from pulmoscope.imaging.preprocess import Geometry, Preprocess
from pulmoscope.imaging.store import PictureStore, StoreItem, open_store

__all__ = [
    "PRESETS",
    "Augment",
    "Decoded",
    "Fingerprint",
    "Geometry",
    "PictureStore",
    "Preprocess",
    "StoreItem",
    "augment",
    "decode",
    "fingerprint",
    "fingerprint_many",
    "mix",
    "open_store",
]
