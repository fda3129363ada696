"""Which radiographs must stay together: one patient's, exact copies, and near copies, across collections too.

Near copies are found in two steps: perceptual hashes within ``RADIUS`` bits name candidates
(:mod:`pulmoscope.imaging.looks`, :mod:`pulmoscope.cohort.near`), and the pixels decide
(:mod:`pulmoscope.cohort.confirm`).

Measured on public collections: of the 82 pictures that stand in the Hannover collection and, cut to their
centre square and under another patient number, in the Cohen collection, 77 are joined and nothing else is (one
hash would name 24 of them); the 621 patients of a sample of NIH ChestX-ray14 stay 621 groups. 48,000 candidates among
8,490 pictures of five collections gave 126 joins: copies, or films of one patient taken in a row, when looked at.

What is missed: pictures cut by 10-25% on single sides. Of 120 pictures that DarkCovidNet took from the Cohen collection
74 are joined (57 of them are equal files); most of the other 46 would be confirmed, but no hash names them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pulmoscope.cohort.confirm import THRESHOLD, Confirmer
from pulmoscope.cohort.near import near_candidates
from pulmoscope.errors import TableError
from pulmoscope.imaging.looks import LOOKS

RADIUS = 8
"""Largest Hamming distance of candidates."""

MOST_CANDIDATES = 2_000_000
"""Candidate pairs to confirm at most; beyond that the radius shrinks, and the report says so."""

MOST_COMPARISONS = 4e10
"""Hash comparisons for one radius at most (some minutes)."""

LARGE_GROUP = 0.2
"""Share of all pictures from which a group that near copies join is told: it leaves a split little choice."""

MOST_SECOND_LOOKS = 20_000
"""Rows with a single stored hash up to which their pictures are decoded again for all four."""

Confirmation = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""(M, 2) row numbers to (M,) similarities; NaN where a pair could not be compared."""

_DIGITS = 16
_NOT_SOUGHT = -2
_log = logging.getLogger("pulmoscope")


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """Who belongs together, and why.

    Attributes:
        group_id: One string a row, index as the table's: ``g:`` and the smallest image_id of the group.
        exact_pairs: image_id_a, image_id_b: links between rows with equal content (a chain, not all pairs).
        near_pairs: image_id_a, image_id_b, similarity: confirmed near copies that neither patient nor content joins.
        across_sources: source, other, pictures: how many of a source's pictures stand in another, too.
        candidates: Pairs that the hashes named.
        unread: Candidate pairs that were not compared because a picture could not be read.
        radius: Hamming distance up to which the candidates are complete, less than ``RADIUS`` where there were too
            many; -1 where not even all equal hashes were compared, -2 where near copies were not sought.
        one_look: Rows sought by the hash of the whole picture alone: they have no other, and were too many (over
            ``MOST_SECOND_LOOKS``) to decode again, had no readable picture, or were judged without pictures.
        chained: Rows of the largest group, where near copies made it so.
    """

    group_id: pd.Series
    exact_pairs: pd.DataFrame
    near_pairs: pd.DataFrame
    across_sources: pd.DataFrame
    candidates: int
    unread: int
    radius: int
    one_look: int = 0
    chained: int = 0

    def notes(self) -> list[str]:
        """What a reader should know, one sentence each."""
        lines = [
            f"{row.pictures} pictures of {row.source} stand in {row.other} too"
            for row in self.across_sources.itertuples()
        ]
        if self.unread:
            lines.append(
                f"{self.unread} candidate pairs of near copies were not compared: a picture was unreadable"
            )
        if _NOT_SOUGHT < self.radius < RADIUS:
            lines.append(
                f"near copies were sought up to hash distance {self.radius} instead of {RADIUS}: "
                "the cohort has too many look-alikes to compare them all"
            )
        if self.one_look:
            lines.append(_one_look_note(self.one_look))
        if self.chained > max(LARGE_GROUP * len(self.group_id), 20):
            lines.append(
                f"near copies join {self.chained} of {len(self.group_id)} pictures into one group, which stays in one "
                "part whole: films that only look alike (synthetic ones do) are kept apart by --no-near-copies"
            )
        return lines


def group_rows(
    frame: pd.DataFrame, *, near: bool = True, workers: int | None = None, progress: bool = False
) -> pd.Series:
    """group_id of every row; see :func:`find_groups`."""
    return find_groups(frame, near=near, workers=workers, progress=progress).group_id


def find_groups(
    frame: pd.DataFrame,
    *,
    near: bool = True,
    confirmation: Confirmation | None = None,
    workers: int | None = None,
    progress: bool = False,
) -> Grouping:
    """Join rows by patient_id, equal sha256 and confirmed near copies.

    The groups are connected components, so they do not depend on the order of the rows; null never joins.

    Args:
        frame: Columns image_id, patient_id, source, sha256, phash and path; all but image_id may be absent or null.
            ``phash`` holds one or more 64-bit hashes, 16 hexadecimal digits each; with all four, as
            :func:`pulmoscope.imaging.fingerprint.fingerprint` gives them, only candidates are decoded again.
        near: Look for near copies.
        confirmation: Judges candidates instead of the pictures' pixels.
        workers: Threads for decoding and comparing.
        progress: Show progress on standard error.

    Raises:
        TableError: image_id is absent, null or not unique; a phash is not hexadecimal.
    """
    names = _names(frame)
    # Rows in the order of their names: the same groups, pairs and ties whatever the order on the disk.
    order = np.argsort(names, kind="stable")
    table = frame.iloc[order].reset_index(drop=True)
    names = names[order]
    count = len(table)

    links = [_chains(_column(table, "patient_id"))]
    exact = _chains(_column(table, "sha256"))
    links.append(exact)
    joined = _components(count, links)
    copies = np.empty((0, 2), np.int64)
    similarities = np.empty(0)
    candidates, unread, radius, one_look = 0, 0, _NOT_SOUGHT, 0
    if near:
        confirmer = Confirmer(_paths(table), workers=workers)
        rows, hashes, one_look = _hashes(table, confirmer if confirmation is None else None, progress)
        found = near_candidates(hashes, RADIUS, limit=MOST_CANDIDATES, work=MOST_COMPARISONS)
        radius = found.radius
        pairs = rows[found.pairs]
        pairs = pairs[joined[pairs[:, 0]] != joined[pairs[:, 1]]]
        candidates = len(pairs)
        judge = confirmation or (lambda asked: confirmer.similarities(asked, progress=progress))
        values = judge(pairs) if len(pairs) else np.empty(0)
        unread = int(np.isnan(values).sum())
        sure = values >= THRESHOLD
        copies, similarities = pairs[sure], values[sure]
        links.append(copies)
        if radius < RADIUS:
            _log.warning(
                "too many look-alikes to compare them all: near copies beyond hash distance %d (of %d) are not joined",
                radius,
                RADIUS,
            )
        if unread:
            _log.warning(
                "%d candidate pairs of near copies were not compared: a picture was unreadable", unread
            )
        if one_look:
            _log.warning("%s", _one_look_note(one_look))

    component = _components(count, links)
    largest, unchained = (int(np.bincount(some).max(initial=0)) for some in (component, joined))
    # Names are sorted, so a component's first row carries its smallest name.
    _, first = np.unique(component, return_index=True)
    labels = np.array([f"g:{name}" for name in names[first]], dtype=object)
    answer = np.empty(count, dtype=object)
    answer[order] = labels[component]
    return Grouping(
        group_id=pd.Series(answer, index=frame.index, name="group_id", dtype="str"),
        exact_pairs=pd.DataFrame({"image_id_a": names[exact[:, 0]], "image_id_b": names[exact[:, 1]]}),
        near_pairs=pd.DataFrame(
            {"image_id_a": names[copies[:, 0]], "image_id_b": names[copies[:, 1]], "similarity": similarities}
        ),
        across_sources=_across_sources(table, copies),
        candidates=candidates,
        unread=unread,
        radius=radius,
        one_look=one_look,
        chained=largest if largest > unchained else 0,
    )


def _one_look_note(rows: int) -> str:
    return (
        f"{rows} pictures have one perceptual hash instead of {LOOKS}: their cropped or padded copies are not found; "
        "build the cohort again for all hashes"
    )


def _names(frame: pd.DataFrame) -> NDArray[np.object_]:
    if "image_id" not in frame or frame["image_id"].isna().any() or frame["image_id"].duplicated().any():
        raise TableError("cannot group the radiographs", expected="a unique image_id for every row")
    return np.asarray(frame["image_id"].astype(str).to_numpy(dtype=object))


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in table else pd.Series([None] * len(table), dtype="str")


def _paths(table: pd.DataFrame) -> list[str | None]:
    return [None if pd.isna(path) else str(path) for path in _column(table, "path")]


def _chains(column: pd.Series) -> NDArray[np.int64]:
    """Links that join the rows of equal value one after the other; null joins nothing."""
    codes, _ = pd.factorize(column)
    rows = np.flatnonzero(codes >= 0)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    same = codes[rows[1:]] == codes[rows[:-1]]
    return np.stack([rows[:-1][same], rows[1:][same]], 1).astype(np.int64)


def _components(count: int, links: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    pairs = np.concatenate(links)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _hashes(
    table: pd.DataFrame, confirmer: Confirmer | None, progress: bool
) -> tuple[NDArray[np.int64], NDArray[np.uint64], int]:
    """Rows with a hash, (N, K) hashes: all four looks where stored or cheap to get, and how many rows have but one."""
    column = _column(table, "phash")
    rows = np.flatnonzero(column.notna().to_numpy())
    texts = column.iloc[rows].astype(str).tolist()
    looks = max((len(text) // _DIGITS for text in texts), default=1)
    wanted = [int(row) for row, text in zip(rows, texts, strict=True) if len(text) == _DIGITS]
    seen: dict[int, NDArray[np.uint64]] = {}
    if confirmer is not None and 0 < len(wanted) <= MOST_SECOND_LOOKS:
        seen = confirmer.hashes(wanted, progress=progress)
        looks = max(looks, LOOKS if seen else 1)
    try:
        # A row with fewer hashes than the others repeats its last.
        whole = "".join((text + text[-_DIGITS:] * looks)[: _DIGITS * looks] for text in texts)
        if any(len(text) % _DIGITS or not text for text in texts):
            raise ValueError("length")
        hashes = np.frombuffer(bytes.fromhex(whole), ">u8").astype(np.uint64).reshape(len(texts), looks)
    except ValueError as error:
        bad = next((text for text in texts if not _is_hash(text)), "")
        raise TableError(
            "a phash cannot be read", expected=f"{_DIGITS} hexadecimal digits a hash", got=repr(bad[:80])
        ) from error
    for place, row in enumerate(rows.tolist()):
        if row in seen:
            hashes[place, : len(seen[row])] = seen[row]
    return rows, hashes, len(wanted) - len(seen)


def _is_hash(text: str) -> bool:
    return (
        len(text) > 0
        and len(text) % _DIGITS == 0
        and all(letter in "0123456789abcdefABCDEF" for letter in text)
    )


def _across_sources(table: pd.DataFrame, copies: NDArray[np.int64]) -> pd.DataFrame:
    """How many pictures of each source stand in each other one, as exact or near copies."""
    columns = ["source", "other", "pictures"]
    if "source" not in table or table["source"].nunique() < 2:
        return pd.DataFrame({"source": [], "other": [], "pictures": []}).astype({"pictures": "int64"})[
            columns
        ]
    source = table["source"].astype("str")
    both = np.concatenate([copies, copies[:, ::-1]])
    near = pd.DataFrame({"row": both[:, 0], "other": source.to_numpy()[both[:, 1]]})
    content = pd.DataFrame(
        {
            "row": np.arange(len(table)),
            "sha256": _column(table, "sha256").to_numpy(),
            "other": source.to_numpy(),
        }
    ).dropna(subset=["sha256"])
    shared = content[content.duplicated("sha256", keep=False)]
    exact = shared[["row", "sha256"]].merge(shared[["sha256", "other"]].drop_duplicates(), on="sha256")
    every = pd.concat([near, exact[["row", "other"]]], ignore_index=True).drop_duplicates()
    every["source"] = source.to_numpy()[every["row"].to_numpy(dtype=np.int64)]
    every = every[every["source"] != every["other"]]
    return every.groupby(["source", "other"]).size().rename("pictures").reset_index()[columns]
