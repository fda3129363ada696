"""Many collections -> one cohort: read, label, filter, fingerprint, group, split, gate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pulmoscope.cohort.caveats import caveats, picture_note_counts
from pulmoscope.cohort.dropped import concat, dropped_rows
from pulmoscope.cohort.duplicates import Grouping, find_groups
from pulmoscope.cohort.sources import SourceRows, read_source
from pulmoscope.cohort.split_plan import read_plan
from pulmoscope.cohort.splitting import Splitting, assign_split
from pulmoscope.cohort.table import Cohort, conform
from pulmoscope.cohort.where import parse_where
from pulmoscope.errors import CohortError, ImageError
from pulmoscope.imaging.fingerprint import fingerprint_many
from pulmoscope.labels import LabelScheme, load_scheme

_MANY_CLASSES = 50
_CHOOSING = ("label", "finding")


def build_cohort(
    sources: Mapping[str, str | os.PathLike[str]],
    *,
    labels: str | os.PathLike[str] | None = None,
    where: Sequence[str] = (),
    split: str = "auto",
    seed: int = 0,
    val_from_train: float | None = None,
    allow_leak: bool = False,
    drop_leaks: bool = False,
    uncertain: str = "ignore",
    near_copies: bool = True,
    workers: int | None = None,
    progress: bool = False,
    source_options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Cohort:
    """Build a cohort; every row left out stands in ``Cohort.dropped`` with its reason.

    The result depends on the files, not on their order on the disk.

    Args:
        sources: Name -> file or folder. The adapter is found by the name or by looking.
        labels: Label scheme, by name or YAML file; None keeps the sources' own labels, classes sorted.
        where: Filters such as ``view=AP``; all must hold.
        split: ``auto`` (predefined if every row has its part, else ``patient``), ``predefined``,
            ``patient:0.7,0.15,0.15``, ``kfold:5``, ``test`` (every row is for judging) or ``none``.
        seed: Of the drawn split.
        val_from_train: Fraction of the training part to move to validation, by groups.
        allow_leak: Go on with a predefined split that cuts groups; the cohort is marked as leaked.
        drop_leaks: Leave rows of cut groups out of all parts but the one nearest to the test.
        uncertain: What CheXpert's uncertain findings become: ignore, positive or negative.
        near_copies: Join near copies (re-encoded, resized, cropped) besides exact ones.
        workers: Threads or processes for reading pictures; None chooses.
        progress: Show a progress bar on stderr.
        source_options: Name -> options of its adapter, such as ``{"metadata": "cohen/metadata.csv"}``.

    Raises:
        CohortError: No source, a class without pictures or with a single patient, nothing left.
        SplitLeakError: A predefined split cuts groups.
        TableError: A source's table cannot be read.
        LabelError: The label scheme is none.
    """
    plan = read_plan(split)
    conditions = [parse_where(text) for text in where]
    scheme = None if labels is None else load_scheme(str(labels))
    read = _read_all(sources, uncertain, source_options or {})
    frame = pd.concat([conform(rows.frame.assign(source=name), extras=True) for name, rows in read.items()])
    frame = frame.sort_values("image_id", ignore_index=True)
    dropped = [rows.dropped for rows in read.values()]

    frame, left = _label(frame, scheme)
    dropped.append(left)
    labelled = frame
    for condition in conditions:
        if condition.column.casefold() in _CHOOSING:
            labelled = labelled[condition.holds(labelled)]
        keep = condition.holds(frame)
        dropped.append(_drop(frame[~keep], "E_WHERE", condition.text))
        frame = frame[keep].reset_index(drop=True)
        _refuse_nothing(frame, f"the filter {condition.text!r}")
    # What a scheme promises, or what there was to begin with: a class that vanishes must not pass unseen, unless
    # a filter on the labels themselves left it out.
    classes = scheme.classes if scheme else tuple(sorted(labelled["label"].unique()))
    if scheme is None and len(classes) > _MANY_CLASSES:
        raise CohortError(
            f"{len(classes)} different labels are too many for classes",
            code="E_LABEL",
            expected=f"at most {_MANY_CLASSES}",
            got=", ".join(map(repr, classes[:5])) + ", ...",
            remedy="map them with a label scheme: --labels covid-pneumonia-normal, or a YAML file of your own",
        )
    frame = conform(frame)

    frame, left, notes = _fingerprint(frame, workers, progress)
    dropped.append(left)
    _refuse_nothing(frame, "reading the pictures", left)
    frame, conflicts = _drop_conflicts(frame)
    dropped.append(conflicts)
    _refuse_nothing(frame, "dropping pictures with two labels", conflicts)

    grouping = find_groups(frame, near=near_copies, workers=workers, progress=progress)
    frame["group_id"] = grouping.group_id
    disagreeing = _disagreeing_copies(frame, grouping)
    result = assign_split(
        frame,
        classes,
        plan,
        seed=seed,
        val_from_train=val_from_train,
        allow_leak=allow_leak,
        drop_leaks=drop_leaks,
        scheme=scheme.name if scheme else None,
    )
    dropped.append(result.dropped)
    found = caveats(
        result.frame,
        classes=classes,
        leaked=result.leaked,
        leaking_groups=result.leaking_groups,
        conflicts=len(conflicts),
        picture_notes=notes,
    )
    every = concat(dropped)
    info = {
        "classes": list(classes),
        "label_scheme": scheme.name if scheme else None,
        "hierarchy": {node: list(kids) for node, kids in scheme.hierarchy.items()}
        if scheme and scheme.hierarchy
        else None,
        "sources": _describe_sources(sources, read, result),
        "split": result.info(seed, val_from_train),
        "dropped": {
            str(why): int(count) for why, count in every["reason"].value_counts().sort_index().items()
        },
        "where": [condition.text for condition in conditions],
        "caveats": [*result.caveats, *_source_caveats(read, result), *disagreeing, *found],
        "copies": _describe_copies(grouping, near_copies),
        "picture_notes": notes,
    }
    return Cohort(result.frame, info, every)


def _disagreeing_copies(frame: pd.DataFrame, grouping: Grouping) -> list[str]:
    """Near copies may be films a day apart, so two labels are told, not dropped as they are for exact copies."""
    labels = frame.set_index("image_id")["label"]
    pairs = grouping.near_pairs
    count = int((pairs["image_id_a"].map(labels) != pairs["image_id_b"].map(labels)).sum())
    return [f"{count} pairs of near copies carry two different labels"] if count else []


def _read_all(
    sources: Mapping[str, str | os.PathLike[str]], uncertain: str, options: Mapping[str, Mapping[str, Any]]
) -> dict[str, SourceRows]:
    if not sources:
        raise CohortError("no sources are given", expected="NAME=PATH", remedy="name at least one collection")
    strange = sorted(set(options) - set(sources))
    if strange:
        raise CohortError(
            f"options are given for unknown sources {', '.join(strange)}", expected=", ".join(sources)
        )
    return {
        name: read_source(
            name,
            path,
            {other: place for other, place in sources.items() if other != name},
            **{"uncertain": uncertain, **options.get(name, {})},
        )
        for name, path in sources.items()
    }


def _label(frame: pd.DataFrame, scheme: LabelScheme | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Set ``label`` by the scheme, or keep the source's own; drop rows that get none."""
    finding = frame["finding"].fillna(frame["label"])
    if scheme is None:
        frame["label"] = frame["label"].fillna(finding)
    else:
        table = {one: scheme.classify(one) for one in finding.dropna().unique()}
        frame["label"] = finding.map(table).astype("str")
    frame["finding"] = finding
    homeless = frame["label"].isna()
    silent = homeless & finding.isna()
    dropped = concat(
        [
            _drop(frame[silent], "E_NO_LABEL"),
            _drop(frame[homeless & ~silent], "E_NO_CLASS", finding[homeless & ~silent]),
        ]
    )
    kept = frame[~homeless].reset_index(drop=True)
    if kept.empty:
        said = ", ".join(map(repr, finding.value_counts().index[:8]))
        raise CohortError(
            "no radiograph has a label"
            if scheme is None
            else f"the label scheme {scheme.name!r} fits no finding",
            code="E_NO_CLASS",
            expected=f"findings for {', '.join(scheme.classes)}" if scheme else "labels",
            got=said or "none",
            remedy="choose another scheme, or write one in YAML",
        )
    return kept, dropped


def _fingerprint(
    frame: pd.DataFrame, workers: int | None, progress: bool
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """Read every picture once: hashes and size; what cannot be read is dropped with the reader's reason."""
    prints = fingerprint_many(frame["path"].tolist(), workers=workers, progress=progress)
    bad = [isinstance(one, ImageError) for one in prints]
    errors = [one for one in prints if isinstance(one, ImageError)]
    good = [one for one in prints if not isinstance(one, ImageError)]
    unread = frame[bad]
    dropped = dropped_rows(
        unread["source"],
        unread["image_id"],
        unread["path"],
        [error.code for error in errors],
        [str(error) for error in errors],
    )
    kept = frame[[not one for one in bad]].reset_index(drop=True)
    kept["sha256"] = pd.Series([one.sha256 for one in good], dtype="str")
    kept["phash"] = pd.Series([one.phash for one in good], dtype="str")
    kept["width"] = pd.Series([one.width for one in good], dtype="Int64")
    kept["height"] = pd.Series([one.height for one in good], dtype="Int64")
    return kept, dropped, picture_note_counts([one.notes for one in good])


def _drop_conflicts(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop every copy of a picture that stands under two labels: which one is right cannot be known."""
    conflict = frame.groupby("sha256")["label"].transform("nunique") > 1
    rows = frame[conflict]
    said = rows.groupby("sha256")["label"].transform(lambda one: " and ".join(sorted(one.unique())))
    return frame[~conflict].reset_index(drop=True), _drop(rows, "E_LABEL_CONFLICT", said)


def _refuse_nothing(frame: pd.DataFrame, step: str, dropped: pd.DataFrame | None = None) -> None:
    if len(frame):
        return
    reasons = (
        ""
        if dropped is None
        else "; ".join(f"{count} x {why}" for why, count in dropped["reason"].value_counts().head(3).items())
    )
    detail = "" if dropped is None or dropped.empty else f"; the first: {dropped['detail'].iloc[0]}"
    raise CohortError(
        f"no radiograph is left after {step}",
        code="E_NOTHING_LEFT",
        expected="at least one radiograph",
        got=(reasons + detail) or None,
    )


def _drop(rows: pd.DataFrame, code: str, detail: str | pd.Series = "") -> pd.DataFrame:
    return dropped_rows(rows["source"], rows["image_id"], rows["path"], code, detail)


def _source_caveats(read: Mapping[str, SourceRows], result: Splitting) -> list[str]:
    left = set(result.frame["source"])
    return [text for name, rows in read.items() if name in left for text in rows.caveats]


def _describe_sources(
    sources: Mapping[str, str | os.PathLike[str]], read: Mapping[str, SourceRows], result: Splitting
) -> dict[str, Any]:
    counts = result.frame["source"].value_counts()
    return {
        name: {
            "path": str(Path(os.path.abspath(sources[name]))),
            "kind": rows.kind,
            "rows": int(counts.get(name, 0)),
            "notes": list(rows.notes),
        }
        for name, rows in read.items()
    }


def _describe_copies(grouping: Grouping, near: bool) -> dict[str, Any]:
    return {
        "near_copies_sought": near,
        "exact_pairs": len(grouping.exact_pairs),
        "near_pairs": len(grouping.near_pairs),
        "across_sources": [
            {"source": str(row.source), "other": str(row.other), "pictures": int(row.pictures)}
            for row in grouping.across_sources.itertuples()
        ],
        "notes": grouping.notes(),
    }
