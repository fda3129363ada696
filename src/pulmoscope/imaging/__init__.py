"""Files to pixels: decoding, fingerprints, the preprocessing recipe, the store, augmentation."""

from pulmoscope.imaging.augment import Augment, augment
from pulmoscope.imaging.decode import Decoded, decode
from pulmoscope.imaging.fingerprint import Fingerprint, fingerprint, fingerprint_many
from pulmoscope.imaging.preprocess import Geometry, Preprocess
from pulmoscope.imaging.store import PictureStore, StoreItem, open_store

__all__ = [
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
    "open_store",
]
