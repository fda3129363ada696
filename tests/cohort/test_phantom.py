"""Synthetic radiographs: reproducible, anatomically ordered, lesions where the masks say."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from pulmoscope.cohort.phantom import (
    CLASSES,
    draw_patient,
    draw_phantom_cohort,
    draw_radiograph,
)
from pulmoscope.cohort.phantom.draw import COLUMNS, MARKED_CLASS, SHARES, draw_film, plan_cohort
from pulmoscope.errors import CohortError

SIZE = 128


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def grey(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    assert picture.ndim == 2
    return picture


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_phantom_cohort(tmp_path_factory.mktemp("phantom"), n=24, seed=3, size=96)


def test_same_state_same_film_and_other_state_other_film():
    one, two, other = (draw_radiograph(np.random.default_rng(s), label="covid", size=96) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.lesion, two.lesion)
    assert (one.pixels != other.pixels).mean() > 0.5


def test_film_does_not_depend_on_how_many_are_drawn(cohort, tmp_path):
    fewer = draw_phantom_cohort(tmp_path / "fewer", n=7, seed=3, size=96)
    assert rows_of(fewer) == rows_of(cohort)[:7]
    for row in rows_of(fewer):
        for column in ("path", "mask_path", "lesion_path"):
            assert (fewer / row[column]).read_bytes() == (cohort / row[column]).read_bytes()
    alone = draw_film(plan_cohort(24, 3)[11], seed=3, size=96)
    np.testing.assert_array_equal(alone.pixels, grey(cohort / rows_of(cohort)[11]["path"]))


def test_size_changes_the_grid_and_not_the_body():
    small, large = (draw_radiograph(np.random.default_rng(4), label="pneumonia", size=s) for s in (96, 192))
    assert large.pixels.shape == (192, 192)
    shrunk = cv2.resize(large.pixels, (96, 96), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(shrunk.ravel(), small.pixels.ravel())[0, 1] > 0.98
    lungs = cv2.resize(large.lungs.astype(np.uint8), (96, 96), interpolation=cv2.INTER_NEAREST) > 0
    assert (lungs != small.lungs).mean() < 0.02


@pytest.mark.parametrize("view", ["PA", "AP"])
@pytest.mark.parametrize("seed", range(6))
def test_normal_film_has_the_order_of_brightness_of_a_chest(seed, view):
    film = draw_radiograph(np.random.default_rng(seed), label="normal", size=SIZE, view=view)
    rows, columns = np.nonzero(film.lungs)
    middle = slice(int(np.quantile(rows, 0.4)), int(np.quantile(rows, 0.8)))
    between = np.zeros_like(film.lungs)
    centre = int((columns.min() + columns.max()) / 2)
    between[middle, centre - 3 : centre + 4] = True
    belly = np.zeros_like(film.lungs)
    belly[rows.max() : rows.max() + SIZE // 16, centre - 20 : centre + 20] = True
    lungs = film.pixels[film.lungs].mean()
    assert lungs + 50 < film.pixels[between & ~film.lungs].mean()
    assert lungs + 50 < film.pixels[belly].mean()
    # Two lungs, each of a plausible size, the patient's left one (viewer's right) narrowed by the heart.
    count, _, stats, centroids = cv2.connectedComponentsWithStats(film.lungs.astype(np.uint8))
    big = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] > 0.04 * SIZE**2]
    assert len(big) == 2
    left, right = sorted(big, key=lambda i: centroids[i][0])
    assert stats[left, cv2.CC_STAT_AREA] > stats[right, cv2.CC_STAT_AREA]
    assert not film.lesion.any()
    assert film.severity == 0


@pytest.mark.parametrize("label", ["covid", "pneumonia"])
@pytest.mark.parametrize("seed", range(5))
def test_lesion_raises_density_inside_its_mask_and_nowhere_else(label, seed):
    sick, well = (
        draw_radiograph(np.random.default_rng(seed), label=label, size=SIZE, severity=0.6, lesions=on)
        for on in (True, False)
    )
    assert sick.lesion.mean() > 0.004
    assert (sick.lesion & sick.lungs).sum() >= 0.9 * sick.lesion.sum()
    assert not well.lesion.any()
    np.testing.assert_array_equal(sick.lungs, well.lungs)
    gain = sick.pixels.astype(float) - well.pixels
    assert gain[sick.lesion].mean() > 8
    far = cv2.dilate(sick.lungs.astype(np.uint8), np.ones((9, 9))) == 0
    assert abs(gain[far].mean()) < 1.5
    assert gain[sick.lesion].mean() > 8 * abs(gain[far].mean())


def halves(film):
    """Lesion pixels in the viewer's left and right lung."""
    columns = np.nonzero(film.lungs.any(0))[0]
    middle = (columns.min() + columns.max()) // 2
    return film.lesion[:, :middle].sum(), film.lesion[:, middle:].sum()


def test_ground_glass_is_bilateral_and_consolidation_is_not():
    for seed in range(8):
        covid = draw_radiograph(np.random.default_rng(seed), label="covid", size=SIZE, severity=0.7)
        assert min(halves(covid)) > 0
        pneumonia = draw_radiograph(np.random.default_rng(seed), label="pneumonia", size=SIZE, severity=0.7)
        assert min(halves(pneumonia)) < 0.03 * max(halves(pneumonia))


def test_severity_makes_a_lesion_denser():
    def gain(severity: float) -> float:
        total = 0.0
        for seed in range(4):
            on, off = (
                draw_radiograph(
                    np.random.default_rng(seed),
                    label="pneumonia",
                    size=96,
                    severity=severity,
                    lesions=lesions,
                )
                for lesions in (True, False)
            )
            total += float((on.pixels.astype(float) - off.pixels).sum())
        return total

    assert gain(0.1) < 0.6 * gain(0.9)


def test_patients_share_anatomy_between_films():
    person = draw_patient(np.random.default_rng(5))
    films = [
        draw_radiograph(np.random.default_rng(s), label="normal", size=96, patient=person, view="PA")
        for s in range(3)
    ]
    assert {(film.sex, film.age) for film in films} == {(person.sex, person.age)}
    assert (films[0].pixels != films[1].pixels).mean() > 0.5

    plan = plan_cohort(60, 0)
    assert len({booking.patient for booking in plan}) < 60
    for patient in {booking.patient for booking in plan}:
        assert len({booking.label for booking in plan if booking.patient == patient}) == 1


def test_rows_of_a_patient_agree(cohort):
    seen: dict[str, tuple[str, str, str]] = {}
    for row in rows_of(cohort):
        facts = (row["sex"], row["age"], row["label"])
        assert seen.setdefault(row["patient_id"], facts) == facts
    assert len(seen) < len(rows_of(cohort))


@pytest.mark.parametrize("n", [12, 60, 600])
def test_classes_keep_their_shares(n):
    labels = [booking.label for booking in plan_cohort(n, 0)]
    for name in CLASSES:
        assert abs(labels.count(name) - SHARES[name] * n) <= 4
    assert plan_cohort(n, 0) == plan_cohort(600, 0)[:n]


def test_table_names_files_that_are_there(cohort):
    rows = rows_of(cohort)
    assert len(rows) == 24
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        assert grey(cohort / row["path"]).shape == (96, 96)
        assert set(np.unique(grey(cohort / row["mask_path"]))) == {0, 255}
        lesion = grey(cohort / row["lesion_path"])
        assert set(np.unique(lesion)) == ({0} if row["label"] == "normal" else {0, 255})
        assert (float(row["severity"]) == 0) == (row["label"] == "normal")
        assert row["view"] in {"PA", "AP"}
        assert row["sex"] in {"F", "M"}
        assert 18 <= int(row["age"]) <= 90
        assert row["label"] not in row["path"]


def test_same_cohort_is_reused_and_another_one_replaces_it(tmp_path):
    folder = draw_phantom_cohort(tmp_path / "p", n=4, seed=0, size=64)
    first = folder / "images" / "film-00000.png"
    before = first.stat().st_mtime_ns
    note = folder / "images" / "mine.txt"
    note.write_text("kept")
    assert draw_phantom_cohort(folder, n=4, seed=0, size=64) == folder
    assert first.stat().st_mtime_ns == before
    (folder / "masks" / "film-00002.png").unlink()  # a torn cohort is drawn again
    draw_phantom_cohort(folder, n=4, seed=0, size=64)
    assert (folder / "masks" / "film-00002.png").is_file()
    draw_phantom_cohort(folder, n=2, seed=0, size=64)
    assert len(list((folder / "images").glob("*.png"))) == len(rows_of(folder)) == 2
    assert note.read_text() == "kept"


def test_shortcut_marks_its_class_and_changes_nothing_else(tmp_path):
    options = {"seed": 1, "size": 64}
    plain = draw_phantom_cohort(tmp_path / "plain", n=20, **options)
    marked = draw_phantom_cohort(
        tmp_path / "marked", n=20, shortcut="corner-marker", shortcut_strength=1.0, **options
    )
    for before, after in zip(rows_of(plain), rows_of(marked), strict=True):
        assert after.pop("marker") == str(int(before["label"] == MARKED_CLASS))
        assert before == after
        changed = grey(plain / before["path"]) != grey(marked / after["path"])
        assert changed.any() == (before["label"] == MARKED_CLASS)
        changed[-12:, :12] = False
        assert not changed.any()


def test_shortcut_keeps_its_probability():
    marks = {True: [], False: []}
    for booking in plan_cohort(60, 0):
        film = draw_film(booking, seed=0, size=64, shortcut="corner-marker", shortcut_strength=0.8)
        marks[booking.label == MARKED_CLASS].append(film.marker)
    assert 0.5 < np.mean(marks[True]) < 1
    assert 0 < np.mean(marks[False]) < 0.45


@pytest.mark.parametrize(
    "wrong", [{"n": 0}, {"size": 32}, {"seed": -1}, {"shortcut": "hat"}, {"shortcut_strength": 0.2}]
)
def test_bad_arguments_are_named(tmp_path, wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(CohortError, match=f"{name}={value!r}"):
        draw_phantom_cohort(tmp_path / "x", **wrong)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "wrong", [{"label": "measles"}, {"view": "lateral"}, {"size": 16}, {"severity": 2.0}]
)
def test_bad_film_arguments_are_refused(wrong):
    with pytest.raises(CohortError):
        draw_radiograph(np.random.default_rng(0), **{"label": "normal", **wrong})
