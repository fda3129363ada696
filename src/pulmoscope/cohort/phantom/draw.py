"""A folder of synthetic radiographs with a table, lung masks and lesion masks."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from pulmoscope.cohort.phantom.film import CLASSES, SMALLEST, PhantomFilm, draw_radiograph
from pulmoscope.cohort.phantom.patient import draw_patient
from pulmoscope.errors import CohortError
from pulmoscope.files import exclusive, storage_errors, write_json, write_text

VERSION = 1
"""Raise when the same seed draws other pictures than before."""

STAMP = "phantom.json"
COLUMNS = ("path", "label", "patient_id", "view", "sex", "age", "mask_path", "lesion_path", "severity")
SHARES = {"normal": 0.45, "pneumonia": 0.30, "covid": 0.25}
FOLDERS = ("images", "masks", "lesions")
MARKED_CLASS = "covid"


@dataclass(frozen=True, kw_only=True)
class Booking:
    """Which patient and class film number ``film`` shows."""

    film: int
    patient: int
    label: str


def plan_cohort(n: int, seed: int) -> list[Booking]:
    """Book ``n`` films: patients with one to four films each and one class a patient.

    A longer plan with the same seed starts with the shorter one. Class shares follow :data:`SHARES` at every
    length, to within a patient's films.
    """
    generator = np.random.default_rng([seed, 7])
    counts = dict.fromkeys(CLASSES, 0)
    plan: list[Booking] = []
    patient = 0
    while len(plan) < n:
        films = int(generator.choice([1, 2, 3, 4], p=[0.70, 0.18, 0.08, 0.04]))
        label = min(CLASSES, key=lambda name: counts[name] - SHARES[name] * (len(plan) + films))
        plan += [Booking(film=len(plan) + i, patient=patient, label=label) for i in range(films)]
        counts[label] += films
        patient += 1
    return plan[:n]


def draw_film(
    booking: Booking, *, seed: int, size: int, shortcut: str | None = None, shortcut_strength: float = 0.95
) -> PhantomFilm:
    """Draw one film of the cohort; nothing but its booking and the seed shapes it."""
    films, patients, marks = np.random.SeedSequence(seed).spawn(3)
    person = draw_patient(np.random.default_rng(_child(patients, booking.patient)))
    marker = False
    if shortcut is not None:
        chance = shortcut_strength if booking.label == MARKED_CLASS else 1 - shortcut_strength
        marker = bool(np.random.default_rng(_child(marks, booking.film)).random() < chance)
    generator = np.random.default_rng(_child(films, booking.film))
    return draw_radiograph(generator, label=booking.label, size=size, patient=person, marker=marker)


def _child(parent: np.random.SeedSequence, number: int) -> np.random.SeedSequence:
    """The ``number``-th child that ``parent.spawn`` would give."""
    return np.random.SeedSequence(parent.entropy, spawn_key=(*parent.spawn_key, number))


def draw_phantom_cohort(
    folder: str | os.PathLike[str],
    *,
    n: int = 600,
    seed: int = 0,
    size: int = 256,
    shortcut: Literal["corner-marker"] | None = None,
    shortcut_strength: float = 0.95,
    progress: bool = False,
) -> Path:
    """Draw a cohort of synthetic radiographs; a folder that already holds this very cohort is left as it is.

    Writes ``images/``, ``masks/`` (lungs), ``lesions/`` (empty for normals) as 8-bit PNG and, last of all,
    ``table.csv`` with the columns path, label, patient_id, view, sex, age, mask_path, lesion_path, severity
    (paths relative to the folder). With a shortcut the table has the further column ``marker`` (0 or 1).

    Args:
        folder: Where to write.
        n: Number of films.
        seed: Film i is the same for every ``n`` and every number of workers.
        size: Rows and columns of a film.
        shortcut: "corner-marker" burns a disc into the lower corner of most covid films and few others.
        shortcut_strength: Probability of the marker in a covid film; in the others it is 1 minus this.
        progress: Print a line for every hundred films.

    Returns:
        The folder.

    Raises:
        CohortError: An argument is out of range.
        StorageError: The folder cannot be written.
        RunBusyError: Another process is drawing into it.
    """
    _check(n, seed, size, shortcut, shortcut_strength)
    target = Path(folder)
    stamp: dict[str, Any] = {"n": n, "seed": seed, "size": size, "version": VERSION}
    if shortcut is not None:
        stamp |= {"shortcut": shortcut, "shortcut_strength": shortcut_strength}
    with exclusive(target), storage_errors(target):
        if _holds(target, stamp):
            return target
        _clear(target)
        write_json(target / STAMP, stamp | {"complete": False})
        for name in FOLDERS:
            (target / name).mkdir(exist_ok=True)
        plan = plan_cohort(n, seed)

        def work(booking: Booking) -> dict[str, Any]:
            film = draw_film(
                booking, seed=seed, size=size, shortcut=shortcut, shortcut_strength=shortcut_strength
            )
            return _write(target, booking, film)

        rows = []
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for row in _told(pool.map(work, plan), n, progress):
                rows.append(row)
        columns = COLUMNS if shortcut is None else (*COLUMNS, "marker")
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(target / "table.csv", text.getvalue())
        write_json(target / STAMP, stamp | {"complete": True})
    return target


def _told(rows: Iterator[dict[str, Any]], n: int, progress: bool) -> Iterator[dict[str, Any]]:
    for done, row in enumerate(rows, 1):
        if progress and (done % 100 == 0 or done == n):
            print(f"drew {done} of {n} synthetic radiographs", flush=True)
        yield row


def _write(target: Path, booking: Booking, film: PhantomFilm) -> dict[str, Any]:
    name = f"film-{booking.film:05d}.png"
    pictures: tuple[NDArray[np.uint8], ...] = (
        film.pixels,
        film.lungs.astype(np.uint8) * np.uint8(255),
        film.lesion.astype(np.uint8) * np.uint8(255),
    )
    for folder, picture in zip(FOLDERS, pictures, strict=True):
        _, encoded = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 3])
        (target / folder / name).write_bytes(encoded.tobytes())
    return {
        "path": f"images/{name}",
        "label": film.label,
        "patient_id": f"P{booking.patient:05d}",
        "view": film.view,
        "sex": film.sex,
        "age": film.age,
        "mask_path": f"masks/{name}",
        "lesion_path": f"lesions/{name}",
        "severity": f"{film.severity:.3f}",
        "marker": int(film.marker),
    }


def _holds(target: Path, stamp: dict[str, Any]) -> bool:
    """Whether the folder holds this cohort, whole."""
    try:
        found = json.loads((target / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if found != stamp | {"complete": True} or not (target / "table.csv").is_file():
        return False
    return all(sum(1 for _ in (target / name).glob("film-*.png")) == stamp["n"] for name in FOLDERS)


def _clear(target: Path) -> None:
    """Take away an earlier phantom cohort, and nothing that is not one."""
    if not (target / STAMP).is_file():
        return
    for name in FOLDERS:
        for file in (target / name).glob("film-*.png"):
            file.unlink()
    (target / "table.csv").unlink(missing_ok=True)


def _check(n: int, seed: int, size: int, shortcut: str | None, strength: float) -> None:
    wrong = []
    if n < 1:
        wrong.append(f"n={n}")
    if seed < 0:
        wrong.append(f"seed={seed}")
    if size < SMALLEST:
        wrong.append(f"size={size}")
    if shortcut not in {None, "corner-marker"}:
        wrong.append(f"shortcut={shortcut!r}")
    if not 0.5 <= strength <= 1:
        wrong.append(f"shortcut_strength={strength}")
    if wrong:
        raise CohortError(
            "the phantom cohort cannot be drawn",
            expected=f"n >= 1, seed >= 0, size >= {SMALLEST}, shortcut None or 'corner-marker', strength 0.5 to 1",
            got=", ".join(wrong),
        )
