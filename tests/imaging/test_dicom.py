"""DICOM: every transfer syntax bit for bit, the grayscale pipeline by hand, identity nowhere."""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_files import (
    CANARY,
    DEFLATED,
    JPEG_2000,
    JPEG_BASELINE,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS,
    RLE,
    dataset,
    radiograph,
    with_frames,
    write,
    write_compressed,
)
from pulmoscope.errors import ImageError
from pulmoscope.imaging import decode
from pulmoscope.imaging.decode import decode_bytes
from pulmoscope.imaging.grayscale import Window, percentile_window, stored_values
from pulmoscope.imaging.read import is_dicom

SYNTAXES = {
    "rle": RLE,
    "jpeg-ls": JPEG_LS,
    "jpeg-2000": JPEG_2000,
    "jpeg-lossless": JPEG_LOSSLESS,
    "jpeg-lossless-sv1": JPEG_LOSSLESS_SV1,
    "deflated": DEFLATED,
}


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
@pytest.mark.parametrize(
    ("bits", "signed"), [(8, False), (10, False), (12, False), (16, False), (12, True), (16, True)]
)
def test_lossless_syntax_equals_uncompressed(syntax: str, bits: int, signed: int, tmp_path: Path) -> None:
    pixels = radiograph(bits, signed=bool(signed))
    window = {"WindowCenter": 0 if signed else 1 << (bits - 1), "WindowWidth": 1 << bits}
    plain = decode(write(tmp_path / "plain.dcm", dataset(pixels, bits=bits, **window)))
    try:
        path = write_compressed(tmp_path / "film.dcm", dataset(pixels, bits=bits, **window), syntax)
    except (RuntimeError, ValueError) as error:
        pytest.skip(f"the encoder cannot write this: {error}")
    packed = decode(path)
    np.testing.assert_array_equal(packed.pixels, plain.pixels)
    assert packed.notes == plain.notes == ("window",)
    expected = (pixels.astype(float) - pixels.min()) / (int(pixels.max()) - int(pixels.min()))
    np.testing.assert_allclose(plain.pixels, expected, atol=1.5 / (1 << bits) + 1e-6)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_uncompressed_syntaxes(syntax: str, tmp_path: Path) -> None:
    pixels = radiograph(12)
    plain = decode(write(tmp_path / "plain.dcm", dataset(pixels, bits=12)))
    made = dataset(pixels, bits=12)
    made.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        made["PixelData"].value = pixels.astype(">u2").tobytes()
    little = syntax == ImplicitVRLittleEndian
    dcmwrite(tmp_path / "film.dcm", made, implicit_vr=little, little_endian=little, force_encoding=True)
    np.testing.assert_array_equal(decode(tmp_path / "film.dcm").pixels, plain.pixels)


def test_jpeg_baseline_equals_the_jpeg(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(radiograph(8)).save(buffer, "JPEG", quality=95)
    made = with_frames(
        dataset(radiograph(8), WindowCenter=128, WindowWidth=256), [buffer.getvalue()], JPEG_BASELINE
    )
    decoded = decode(write(tmp_path / "film.dcm", made))
    np.testing.assert_allclose(decoded.pixels, decode_bytes(buffer.getvalue(), "film.jpg").pixels, atol=1e-6)


def test_real_files_are_each_others_inverse(real_data: Path) -> None:
    decoded = {path.name.startswith("Fake"): decode(path) for path in (real_data / "dicom").iterdir()}
    assert decoded[True].notes == ("percentile-window", "inverted-monochrome1")
    assert decoded[False].notes == ("percentile-window",)
    np.testing.assert_allclose(decoded[True].pixels, 1 - decoded[False].pixels, atol=1e-6)


def test_monochrome1_is_inverted_and_monochrome2_is_not(tmp_path: Path) -> None:
    pixels = radiograph(12)
    one, two = (
        decode(write(tmp_path / f"{kind}.dcm", dataset(pixels, bits=12, PhotometricInterpretation=kind)))
        for kind in ("MONOCHROME1", "MONOCHROME2")
    )
    np.testing.assert_allclose(one.pixels, 1 - two.pixels, atol=1e-6)
    brightest = np.unravel_index(pixels.argmax(), pixels.shape)
    assert two.pixels[brightest] == 1
    assert one.pixels[brightest] == 0


def test_rescale_then_window(tmp_path: Path) -> None:
    pixels = radiograph(12)
    made = dataset(
        pixels, bits=12, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2001
    )
    decoded = decode(write(tmp_path / "film.dcm", made))
    expected = np.clip((pixels * 2.0 - 1000 - 999.5) / 2000 + 0.5, 0, 1)
    np.testing.assert_allclose(decoded.pixels, expected, atol=1e-6)
    assert decoded.notes == ("rescaled", "window")


def test_padding_is_black_and_outside_the_window(tmp_path: Path) -> None:
    pixels = radiograph(12)
    plain = decode(write(tmp_path / "plain.dcm", dataset(pixels[10:].copy(), bits=12)))
    for photometric in ("MONOCHROME2", "MONOCHROME1"):
        padded = pixels.copy()
        padded[:10] = 4095
        padded[10:][padded[10:] == 4095] = 4094
        made = dataset(padded, bits=12, PixelPaddingValue=4095, PhotometricInterpretation=photometric)
        made["PixelPaddingValue"].VR = "US"
        decoded = decode(write(tmp_path / "film.dcm", made))
        assert "padding-masked" in decoded.notes
        assert (decoded.pixels[:10] == 0).all()
        shown = decoded.pixels[10:] if photometric == "MONOCHROME2" else 1 - decoded.pixels[10:]
        np.testing.assert_allclose(shown, plain.pixels, atol=1e-3)


def test_high_bits_hold_an_overlay(tmp_path: Path) -> None:
    pixels = radiograph(12)
    plain = decode(write(tmp_path / "plain.dcm", dataset(pixels, bits=12)))
    marked = pixels | np.uint16(0x8000)
    np.testing.assert_array_equal(
        decode(write(tmp_path / "overlay.dcm", dataset(marked, bits=12))).pixels, plain.pixels
    )
    shifted = dataset((pixels << 4).astype(np.uint16), bits=12, HighBit=15)
    for syntax in (None, RLE):
        path = tmp_path / "shifted.dcm"
        write(path, shifted) if syntax is None else write_compressed(path, shifted, syntax)
        np.testing.assert_array_equal(decode(path).pixels, plain.pixels)


def test_voi_and_modality_tables(tmp_path: Path) -> None:
    pixels = radiograph(8).astype(np.uint16)

    def table(entries: np.ndarray, bits: int) -> list[Dataset]:
        item = Dataset()
        item.add_new(0x00283002, "US", [len(entries), 0, bits])
        item.add_new(0x00283006, "US", [int(entry) for entry in entries])
        return [item]

    square = np.arange(256) ** 2 // 255
    root = np.rint(np.sqrt(np.arange(256) / 255) * 1023)
    made = dataset(pixels, bits=8, ModalityLUTSequence=table(square, 8), VOILUTSequence=table(root, 10))
    decoded = decode(write(tmp_path / "film.dcm", made))
    np.testing.assert_allclose(decoded.pixels, root[square[pixels]] / 1023, atol=1e-6)
    assert decoded.notes == ("modality-lut", "voi-lut")


def test_a_window_that_shows_nothing_gives_way(tmp_path: Path) -> None:
    made = dataset(radiograph(12), bits=12, WindowCenter=-30000, WindowWidth=10)
    assert decode(write(tmp_path / "film.dcm", made)).notes == ("percentile-window",)


def test_window_functions_by_hand() -> None:
    values = np.array([-100.0, 0, 50, 100, 200])
    np.testing.assert_allclose(
        Window(center=50, width=101)(values), np.clip((values - 49.5) / 100 + 0.5, 0, 1)
    )
    np.testing.assert_allclose(
        Window(center=50, width=100, function="LINEAR_EXACT")(values), [0, 0, 0.5, 1, 1]
    )
    np.testing.assert_allclose(
        Window(center=50, width=100, function="SIGMOID")(values), 1 / (1 + np.exp(-4 * (values - 50) / 100))
    )


def test_percentile_window_agrees_with_numpy() -> None:
    codes = radiograph(12).ravel()
    counts = np.bincount(codes, minlength=4096).astype(float)
    values = stored_values(12, False) * -3 + 7
    low, high = np.percentile(values[codes], (0.5, 99.5), method="lower")
    table = percentile_window(values, counts)
    expected = np.clip((values[codes] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(table[codes], expected, atol=2e-3)


def test_a_frame_can_be_chosen(tmp_path: Path) -> None:
    frames = np.stack([radiograph(12), radiograph(12)[::-1]])
    plain = decode(write(tmp_path / "plain.dcm", dataset(frames[1].copy(), bits=12)))
    for syntax in (None, JPEG_2000, RLE):
        made = dataset(frames, bits=12, NumberOfFrames=2)
        path = tmp_path / "film.dcm"
        write(path, made) if syntax is None else write_compressed(path, made, syntax)
        np.testing.assert_array_equal(decode(path, frame=1).pixels, plain.pixels)
        with pytest.raises(ImageError, match="E_MULTIFRAME"):
            decode(path, frame=2)


def test_jpeg_extended_names_the_tool(tmp_path: Path) -> None:
    from hostile import KINDS

    path = next(kind for kind in KINDS if kind.name == "dicom-jpeg-extended-12-bit").write(tmp_path)
    assert path is not None
    with pytest.raises(ImageError, match="dcmdjpeg"):
        decode(path)


def test_identity_stays_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    content = write(tmp_path / "film.dcm", dataset(radiograph(12), bits=12)).read_bytes()
    bad = content.replace(b"PN", b"US", 1).replace(b"MONOCHROME2 ", CANARY.encode()[:12], 1)
    for sample in (bad, content[:400], content[:-9], content.replace(b"US\x02\x00", b"US\x01\x00")):
        with pytest.raises(ImageError) as caught:
            decode_bytes(sample, "film.dcm")
        assert "Canary" not in "".join(traceback.format_exception(caught.value))
    assert "Canary" not in caplog.text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("syntax", [None, *SYNTAXES.values()], ids=["plain", *SYNTAXES])
def test_mutated_files_never_raise_anything_else(
    syntax: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(5)
    made, path = dataset(radiograph(12), bits=12), tmp_path / "film.dcm"
    write(path, made) if syntax is None else write_compressed(path, made, syntax)
    content = path.read_bytes()
    for _ in range(60):
        mutated = bytearray(content)
        for place in random.integers(132, len(content), random.integers(1, 8)):
            mutated[place] = random.integers(256)
        with contextlib.suppress(ImageError):
            decode_bytes(bytes(mutated), "film.dcm")
    assert capfd.readouterr() == ("", "")


def test_is_dicom() -> None:
    assert is_dicom(b"\0" * 128 + b"DICM")
    assert is_dicom(b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100")
    assert not is_dicom(b"\x89PNG\r\n\x1a\n" + b"\0" * 200)
    assert not is_dicom(b"")
