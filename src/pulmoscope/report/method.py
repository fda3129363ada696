"""What the page says of the data's origin, the split and the training, as names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pulmoscope.imaging import Augment
from pulmoscope.report.inputs import ReportInputs
from pulmoscope.report.numbers import number, show_count, show_rate, show_seconds, show_setting, show_stage

Facts = list[tuple[str, str]]
_KINDS = {
    "predefined": "as the collections define it",
    "patient": "drawn by patient (or group of copies), stratified by class and source",
    "kfold": "k-fold cross-validation, grouped by patient and stratified",
    "kfold-pictures": "k-fold cross-validation by picture: patients and copies stand in several folds",
    "external": "external: none of these pictures was trained on",
}


def source_facts(info: Mapping[str, Any], frame: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Each source: name, kind, number of pictures, licences as the table has them, notes of its reader."""
    sources = dict(info.get("sources") or {})
    if frame is not None and "source" in frame:
        for name in sorted(frame["source"].dropna().astype(str).unique()):
            sources.setdefault(name, {})
    facts = []
    for name, source in sources.items():
        told = source if isinstance(source, Mapping) else {}
        count, licences = "", "not stated in the collection's table"
        if frame is not None and "source" in frame:
            rows = frame[frame["source"] == name]
            count = f"{len(rows):,}"
            if "licence" in rows and rows["licence"].notna().any():
                tally = rows["licence"].fillna("not stated").value_counts()
                licences = ", ".join(f"{text} ({n:,})" for text, n in tally.head(6).items())
                licences += f" and {len(tally) - 6} more" if len(tally) > 6 else ""
        facts.append(
            {
                "name": str(name),
                "kind": str(told.get("kind") or ""),
                "count": count,
                "licences": licences,
                "notes": [str(note) for note in told.get("notes") or []],
                "citation": str(told.get("citation") or ""),
            }
        )
    return facts


def split_facts(info: Mapping[str, Any], frame: pd.DataFrame | None) -> Facts:
    """How the split was made and whether it holds."""
    split = info.get("split") or {}
    facts: Facts = []
    kind = split.get("kind")
    if kind:
        said = _KINDS.get(str(kind).partition(":")[0])
        facts.append(("Kind", f"{kind}: {said}" if said and kind != "external" else said or str(kind)))
    if split.get("fold") is not None:
        facts.append(("Fold held out", str(split["fold"])))
    if split.get("seed") is not None:
        facts.append(("Seed", str(split["seed"])))
    carved = number(split.get("val_from_train"))
    if carved:
        facts.append(
            ("Validation", f"{100 * carved:g}% of the training part, carved out by group before training")
        )
    if frame is not None and {"group_id", "split"} <= set(frame.columns):
        groups = frame.dropna(subset=["split"]).groupby("split")["group_id"].nunique()
        order = [name for name in ("train", "val", "test") if name in groups.index]
        facts.append(("Groups", ", ".join(f"{name} {groups[name]:,}" for name in order)))
    copies = info.get("copies")
    if isinstance(copies, Mapping):
        near = (
            f"{show_count(copies.get('near_pairs'))} pairs of near copies"
            if copies.get("near_copies_sought")
            else ""
        )
        exact = f"{show_count(copies.get('exact_pairs'))} pairs of equal files"
        facts.append(
            (
                "Copies found",
                f"{exact}, {near or 'near copies were not sought'}; each pair is kept in one part",
            )
        )
        for pair in copies.get("across_sources") or []:
            shared = f"{show_count(pair.get('pictures'))} pictures"
            facts.append(
                (
                    "Copies across sources",
                    f"{shared} of {pair.get('source')} stand in {pair.get('other')} too",
                )
            )
    leaking = int(number(split.get("leaking_groups")) or 0)
    if split.get("leaked") or leaking:
        facts.append(
            ("Split gate", f"leaked: {leaking:,} groups stand in more than one part; allowed on request")
        )
    elif split:
        facts.append(
            (
                "Split gate",
                "passed: no patient and no copy stands in two parts, as far as ids and hashes tell",
            )
        )
    return facts


def method_facts(inputs: ReportInputs, kept: Sequence[tuple[str, int]]) -> Facts:
    """The training in short; empty where nothing was trained in this folder."""
    recipe, environment, model = inputs.recipe, inputs.environment, inputs.model
    facts: Facts = []
    network = _mapping(recipe.get("model"))
    if network:
        facts.append(("Network", show_setting(network.get("backbone"))))
        facts.append(("Starting weights", show_setting(network.get("weights"))))
    origin = _mapping(model.get("weights_origin"))
    if origin:
        facts.append(
            (
                "Origin of the weights",
                show_setting({k: v for k, v in origin.items() if k not in ("name", "licence")}),
            )
        )
    licence = origin.get("licence") or model.get("licence")
    if licence or origin:
        facts.append(("Licence of the weights", show_setting(licence) if licence else "not stated"))
    preprocess = _mapping(recipe.get("preprocess"))
    if preprocess:
        size = preprocess.get("size")
        facts.append(
            ("Input", f"{size} x {size} pixels, proportions: {preprocess.get('aspect')}, "
             f"intensity: {preprocess.get('intensity')}, normalisation: {preprocess.get('normalise')}")
        )  # fmt: skip
    augment = Augment.model_validate(recipe.get("augment") or {}).model_dump(
        mode="json", exclude_defaults=True
    )
    if recipe:
        facts.append(("Augmentation", show_setting(augment) if augment else "none"))
    train = _mapping(recipe.get("train"))
    for stage, title in (("head", "Stage 1, the head"), ("finetune", "Stage 2, fine-tuning")):
        if _mapping(train.get(stage)):
            facts.append((title, show_setting(train[stage])))
    if inputs.history is not None:
        counts = inputs.history.groupby("stage", sort=False)["epoch"].max()
        facts.append(
            ("Epochs run", "; ".join(f"{n} of {show_stage(str(name))}" for name, n in counts.items()))
        )
    chosen = _mapping(environment.get("chosen"))
    for stage, epoch in kept:
        part, _, _ = stage.rpartition(" ")
        own = _mapping(chosen.get(part)) if part else chosen
        by = f", by {own['metric']} {show_rate(own.get('value'))}" if own.get("metric") else ""
        facts.append(("Epoch kept", f"{epoch} of {show_stage(stage)}{by}; the test part had no say"))
    starts = list(environment.get("threads_of_starts") or [])
    if environment.get("device"):
        counts = starts or [environment.get("threads")]
        threads = f", {', then '.join(map(show_count, counts))} threads" if all(counts) else ""
        facts.append(("Device", f"{environment['device']}{threads}"))
    if environment.get("seconds") is not None:
        since = ", since it was last resumed" if len(starts) > 1 else ""
        facts.append(("Time", show_seconds(environment["seconds"]) + since))
    return facts


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
