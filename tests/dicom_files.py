"""DICOM files for tests, written from an array and a few attributes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

# Stands in every identifying attribute; it may appear nowhere in errors, notes or logs.
CANARY = "Canary^Tweety"

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
RLE = "1.2.840.10008.1.2.5"
DEFLATED = "1.2.840.10008.1.2.1.99"


def radiograph(bits: int = 12, *, height: int = 96, width: int = 80, signed: bool = False) -> NDArray:
    """A smooth picture with noise that uses the whole range of ``bits``."""
    rows, columns = np.mgrid[0:height, 0:width]
    shape = np.exp(-(((rows - height / 2) / height) ** 2 + ((columns - width / 3) / width) ** 2) * 6)
    noise = np.random.default_rng(0).normal(0, 0.02, shape.shape)
    unit = np.clip(shape + noise, 0, 1)
    unit = (unit - unit.min()) / (unit.max() - unit.min())
    top = (1 << bits) - 1
    values = np.rint(unit * top).astype(np.int64)
    if signed:
        return (values - (1 << (bits - 1))).astype(np.int8 if bits <= 8 else np.int16)
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def dataset(pixels: NDArray, *, bits: int | None = None, **attributes: Any) -> FileDataset:
    """A radiograph's dataset, Explicit VR Little Endian, with the canary in what identifies a person."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["pulmoscope"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientName, made.PatientID, made.InstitutionName = CANARY, CANARY, CANARY
    made.StudyDescription = CANARY
    made.Modality, made.ViewPosition = "DX", "PA"
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = pixels.shape[-2:]
    made.BitsAllocated = pixels.dtype.itemsize * 8
    made.BitsStored = bits or made.BitsAllocated
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(pixels.dtype.kind == "i")
    made["PixelData"] = _pixel_element(pixels.tobytes())
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def write(path: Path, made: FileDataset) -> Path:
    """Write ``made`` to ``path`` as it is, valid or not."""
    made.save_as(path, enforce_file_format=False)
    return path


def write_compressed(path: Path, made: FileDataset, syntax: str) -> Path:
    """Write ``made`` losslessly compressed by ``syntax``."""
    if syntax in {JPEG_LOSSLESS, JPEG_LOSSLESS_SV1}:
        return _write_by_gdcm(path, made, syntax)
    if syntax == DEFLATED:
        made.file_meta.TransferSyntaxUID = syntax
        made.save_as(path, enforce_file_format=True)
        return path
    made.compress(syntax, generate_instance_uid=False)
    return write(path, made)


def with_frames(made: FileDataset, frames: list[bytes], syntax: str) -> FileDataset:
    """Replace the pixels by these codestreams under another transfer syntax."""
    made.file_meta.TransferSyntaxUID = syntax
    element = _pixel_element(encapsulate(frames, has_bot=False))
    element.is_undefined_length = True
    made["PixelData"] = element
    return made


def _pixel_element(value: bytes) -> Any:
    from pydicom.dataelem import DataElement

    return DataElement(0x7FE00010, "OW", value + b"\0" * (len(value) % 2))


def _write_by_gdcm(path: Path, made: FileDataset, syntax: str) -> Path:
    import gdcm

    plain = write(path.with_suffix(".plain"), made)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    if not reader.Read():
        raise RuntimeError("gdcm cannot read its input")
    change = gdcm.ImageChangeTransferSyntax()
    kind = gdcm.TransferSyntax.GetTSType(syntax)
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError("gdcm cannot compress")
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError("gdcm cannot write")
    return path
