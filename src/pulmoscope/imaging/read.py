"""A file's bytes, read once and safely: only regular files, never more than a picture can need."""

from __future__ import annotations

import errno
import os
import re
import stat

from pulmoscope.errors import ImageError

MAX_FILE_BYTES = 512 << 20
_HEAD = 1024
# A path that leads to no file, now or ever; anything else stands in the way of one.
_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG})

# Formats are known by content; endings are only compared with it to note a wrong one.
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"P5", "PNM"),
    (b"P6", "PNM"),
)
_FOREIGN = (
    (re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"%PDF"), "a PDF document"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\x1f\x8b"), "gzip-compressed data"),
    (re.compile(rb"\s*(<\?xml|<svg)", re.IGNORECASE), "an XML or SVG document"),
    (re.compile(rb"version https://git-lfs"), "a Git LFS pointer, not the picture it stands for"),
    (re.compile(rb"[\t\n\r\x20-\x7e]+\Z"), "plain text"),
)


def display(path: str | os.PathLike[str]) -> str:
    r"""The path as printable text; bytes that are not UTF-8 are shown as ``\xNN``."""
    try:
        return os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte: no file can have this name
        return os.fspath(path).encode("utf-8", "backslashreplace").decode("utf-8")


def read_picture(path: str | os.PathLike[str]) -> bytes:
    """All bytes of a picture file.

    The first kilobyte is looked at before the rest is read, so a huge file of another kind costs nothing.

    Raises:
        ImageError: E_MISSING (also for a name that no file can have), E_NOT_REGULAR (folder, pipe, socket, device),
            E_UNREADABLE (also for links in a circle), E_EMPTY_FILE, E_NOT_IMAGE or E_TOO_LARGE (over 512 MiB).
    """
    name = display(path)
    try:
        # Non-blocking: opening a pipe nobody writes to would otherwise wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:
        raise ImageError(f"{name!r} is not a file name", code="E_MISSING", remedy="check the path") from error
    except OSError as error:
        if error.errno in _NOWHERE:
            raise ImageError(
                f"{name} does not exist",
                code="E_MISSING",
                got=None if error.errno == errno.ENOENT else error.strerror,
                remedy="check the path; a table may name moved files",
            ) from error
        if os.path.exists(path) and not os.path.isfile(path):
            raise _not_regular(name) from error
        raise _unreadable(name, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(descriptor)
            raise _not_regular(name)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            head = file.read(_HEAD) or b""
            if not head:
                raise ImageError(f"{name} is empty", code="E_EMPTY_FILE", remedy="fetch the file again")
            if sniff(head) is None:
                raise _not_image(name, head)
            if status.st_size > MAX_FILE_BYTES:
                raise ImageError(
                    f"{name} is too large",
                    code="E_TOO_LARGE",
                    expected="at most 512 MiB",
                    got=f"{status.st_size} bytes",
                )
            return head + file.readall()
    except OSError as error:
        raise _unreadable(name, error) from error


def sniff(head: bytes) -> str | None:
    """The format by its first bytes: DICOM, PNG, JPEG, TIFF, GIF, BMP, WEBP, JPEG2000, PNM, or None."""
    # DICOM first: its preamble may hold another format's magic, or an executable's.
    if is_dicom(head):
        return "DICOM"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return None


_VR = rb"(?:AE|AS|AT|CS|DA|DS|DT|FD|FL|IS|LO|LT|OB|OW|PN|SH|SL|SQ|SS|ST|TM|UI|UL|UN|US|UT)"
_BARE_EXPLICIT = re.compile(rb"(?:\x02\x00|\x08\x00)[\x00-\x20]\x00" + _VR, re.DOTALL)
_BARE_IMPLICIT = re.compile(rb"\x08\x00[\x00\x01\x05\x08\x12\x16\x18]\x00.\x00\x00\x00", re.DOTALL)


def is_dicom(head: bytes) -> bool:
    """Whether a file with these first bytes is DICOM, with the preamble or (older files) without."""
    return head[128:132] == b"DICM" or bool(_BARE_EXPLICIT.match(head) or _BARE_IMPLICIT.match(head))


def _not_image(name: str, head: bytes) -> ImageError:
    found = next((what for pattern, what in _FOREIGN if pattern.match(head)), None)
    return ImageError(
        f"{name} is not a picture",
        code="E_NOT_IMAGE",
        expected="PNG, JPEG, TIFF, BMP, GIF, WebP, JPEG 2000, PNM or DICOM",
        got=found or "unknown content",
    )


def _not_regular(name: str) -> ImageError:
    return ImageError(
        f"{name} is not a regular file", code="E_NOT_REGULAR", got="a folder, pipe, socket or device"
    )


def _unreadable(name: str, error: OSError) -> ImageError:
    remedy = "check its permissions" if isinstance(error, PermissionError) else None
    return ImageError(f"{name} cannot be read", code="E_UNREADABLE", got=error.strerror, remedy=remedy)
