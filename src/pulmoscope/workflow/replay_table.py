"""The runs of a replay as rows: every published number beside ours, and the models beside each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pulmoscope.cohort import Cohort
from pulmoscope.evaluation import Estimate, Predictions, named_estimates
from pulmoscope.models import Bundle, CascadeSpec, load_bundle, route
from pulmoscope.training import Budget, PublishedNumber, Recipe
from pulmoscope.workflow.run import Run
from pulmoscope.workflow.summary import is_leaked
from pulmoscope.workflow.training_run import reported_part
from pulmoscope.workflow.verdict import COSTS, PARAMETERS, SECONDS, Measured, Ours, judge, meaning, measure

#: What the models are compared by, whatever the report printed.
RATES = ("accuracy", "mean_ovr_accuracy", "mean_sensitivity", "mean_specificity", "macro_auroc")
NOT_YET = "not trained yet"
NOTHING_PUBLISHED = "nothing published"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What training left of one variant.

    Attributes:
        recipe: Of the variant.
        runs: Seed -> its finished run.
        failures: Seed -> why there is none.
        changed: The overrides that make the setting another than the report's.
    """

    recipe: Recipe
    runs: Mapping[int, Run] = field(default_factory=dict)
    failures: Mapping[int, str] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The variant's name, or the recipe's where it has no variants."""
        return self.recipe.variant or self.recipe.name


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one model: what was published, what we measured, what to make of it.

    Attributes:
        model: The variant, and for a cascade how it routes.
        metric: A name of ours.
        published: The report's number; None where it prints none.
        measured: Ours; None where the model was not trained or has no such metric.
        n: Pictures that ours is of.
        verdict: In words.
    """

    model: str
    metric: str
    published: PublishedNumber | None
    measured: Measured | None
    n: int | None
    verdict: str

    @property
    def meaning(self) -> str:
        """What the metric is, in words."""
        return meaning(self.metric)


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """One model beside the others.

    Attributes:
        model: The variant, and for a cascade how it routes.
        batch: Pictures a step; for a cascade that of each stage.
        measured: Metric of :data:`RATES` or cost -> ours; the seconds of a cascade are those of both stages together.
        seconds: Seconds an epoch of each stage of a cascade; of any other network one entry.
        published: The same -> the report's, where it prints it.
    """

    model: str
    batch: str
    measured: Mapping[str, Measured]
    seconds: tuple[Measured, ...]
    published: Mapping[str, PublishedNumber]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One variant, measured.

    Attributes:
        variant: What was trained.
        rows: Published beside ours.
        models: What the variant's runs are as models, a cascade once for each routing; empty where it was not trained.
    """

    variant: Variant
    rows: tuple[Row, ...]
    models: tuple[ModelRow, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """What :func:`pulmoscope.workflow.replay` found.

    Attributes:
        name: Of the recipe.
        seeds: Those asked for and those found in the folder, ascending.
        cohort: That was trained on.
        judged: The variants in the recipe's order, trained or not.
        overrides: ``key=value`` changes to every variant.
    """

    name: str
    seeds: tuple[int, ...]
    cohort: Cohort
    judged: tuple[Judged, ...]
    overrides: tuple[str, ...] = ()

    @property
    def budget(self) -> Budget:
        """``full`` or ``quick``."""
        return self.judged[0].variant.recipe.budget

    @property
    def changed(self) -> tuple[str, ...]:
        """The overrides that make the setting of any variant another than the report's."""
        return tuple(dict.fromkeys(item for one in self.judged for item in one.variant.changed))

    @property
    def rows(self) -> list[Row]:
        """Published beside ours, of all variants."""
        return [row for one in self.judged for row in one.rows]

    @property
    def models(self) -> list[ModelRow]:
        """The trained models beside each other."""
        return [row for one in self.judged for row in one.models]

    def histories(self) -> dict[str, list[pd.DataFrame]]:
        """Variant -> the history of each of its runs and folds, for those that were trained."""
        return {
            one.variant.label: [
                history for run in one.variant.runs.values() for history in read_histories(run.folder)
            ]
            for one in self.judged
            if one.variant.runs
        }


def judge_variant(variant: Variant, cohort: Cohort) -> Judged:
    """Measure a variant on the pictures that its runs held out, and judge it by what was published."""
    if not variant.runs:
        why = "; ".join(dict.fromkeys(variant.failures.values()))
        return Judged(variant=variant, rows=_untrained(variant, f"not trained: {why}" if why else NOT_YET))
    models = _models(variant)
    return Judged(
        variant=variant,
        rows=tuple(row for model in models for row in _rows(variant, model, cohort)),
        models=tuple(_model_row(variant, model) for model in models),
    )


def hard_routed(table: Predictions, spec: CascadeSpec) -> Predictions:
    """The same probabilities, decided as system C's report does: the first stage's answer is final."""
    if table.probabilities is None:
        raise ValueError("routing needs probabilities")
    routed = route(table.probabilities, spec)
    return Predictions(
        table.frame.assign(prediction=[table.classes[index] for index in routed]), table.classes
    )


def collection_names(cohort: Cohort) -> frozenset[str]:
    """Every name that the cohort's one collection goes by: as given, its reader's, its folder's or file's."""
    present = sorted(set(cohort.frame["source"]))
    if len(present) != 1:
        return frozenset()
    about = cohort.info.get("sources", {}).get(present[0], {})
    place = Path(str(about.get("path", "")))
    return frozenset({present[0], str(about.get("kind", "")), place.name, place.stem} - {""})


def read_histories(folder: Path) -> list[pd.DataFrame]:
    """The history of a run, or of each of its folds."""
    files = [folder / "history.csv", *sorted((folder / "folds").glob("fold-*/history.csv"))]
    return [pd.read_csv(file) for file in files if file.is_file()]


def seconds_per_epoch(histories: Sequence[pd.DataFrame]) -> list[float]:
    """Mean over the epochs of what was trained last: of a cascade for each of its networks, else one number.

    Args:
        histories: Of a run, or of each of its folds, with columns stage and seconds; a cascade's stages are called
            ``first finetune``, ``second finetune`` and so on.
    """
    last: dict[str, list[pd.Series[float]]] = {}
    for history in filter(len, histories):
        network = history["stage"].str.extract(r"^(first|second) ", expand=False).fillna("")
        for name, rows in history.groupby(network, sort=False):
            final = rows["stage"].iloc[-1]
            last.setdefault(str(name), []).append(rows.loc[rows["stage"] == final, "seconds"])
    return [float(pd.concat(one).mean()) for one in last.values()]


def parameter_count(bundle: Bundle) -> int:
    """Numbers in a network as Keras counts them: batch normalisation's running statistics are among them."""
    return sum(
        tensor.numel() for name, tensor in bundle.weights.items() if not name.endswith("num_batches_tracked")
    )


@dataclass(frozen=True, kw_only=True)
class _Model:
    """One way to read a variant's runs."""

    label: str
    part: str
    n: int
    classes: int
    measured: Mapping[str, Measured]
    seconds: tuple[Measured, ...]


def _models(variant: Variant) -> list[_Model]:
    runs = variant.runs
    part = reported_part(next(iter(runs.values())).metrics)
    bundle = _bundle(next(iter(runs.values())))
    tables = {seed: run.predict(part) for seed, run in runs.items()}
    views = {variant.label: tables}
    if isinstance(bundle.spec, CascadeSpec):
        spec = bundle.spec
        views = {
            f"{variant.label}, hard routing": {
                seed: hard_routed(table, spec) for seed, table in tables.items()
            },
            f"{variant.label}, soft routing": tables,
        }
    seconds = [seconds_per_epoch(read_histories(run.folder)) for run in runs.values()]
    costs = {
        PARAMETERS: Measured(values=(parameter_count(bundle) / 1e6,)),
        SECONDS: Measured(values=tuple(sum(one) if one else math.nan for one in seconds)),
    }
    stages = max(map(len, seconds))
    by_stage = tuple(
        Measured(values=tuple(one[index] if index < len(one) else math.nan for one in seconds))
        for index in range(stages)
    )
    names = tuple(dict.fromkeys([*(number.metric for number in variant.recipe.published), *RATES]))
    return [
        _Model(
            label=label,
            part=part,
            n=len(next(iter(by_seed.values()))),
            classes=len(bundle.classes),
            measured=costs | _measure(by_seed, names, variant.recipe.evaluate.replicates),
            seconds=by_stage,
        )
        for label, by_seed in views.items()
    ]


def _measure(
    tables: Mapping[int, Predictions], names: tuple[str, ...], replicates: int
) -> dict[str, Measured]:
    found: dict[int, dict[str, Estimate]] = {
        seed: named_estimates(table, names, replicates=replicates) for seed, table in tables.items()
    }
    there = next(iter(found.values()))
    return {name: measure([one[name] for one in found.values()], list(found)) for name in there}


def _rows(variant: Variant, model: _Model, cohort: Cohort) -> list[Row]:
    ours = Ours(
        budget=variant.recipe.budget,
        collections=collection_names(cohort),
        n=model.n,
        classes=model.classes,
        part=model.part,
        split=str(cohort.info.get("split", {}).get("kind") or ""),
        leaked=is_leaked(cohort),
        changed=variant.changed,
    )
    if not variant.recipe.published:
        accuracy = model.measured["accuracy"]
        return [Row(model=model.label, metric="accuracy", published=None, measured=accuracy, n=model.n,
                    verdict=NOTHING_PUBLISHED)]  # fmt: skip
    rows = []
    for number in variant.recipe.published:
        measured = model.measured.get(number.metric)
        rows.append(
            Row(
                model=model.label,
                metric=number.metric,
                published=number,
                measured=measured,
                n=None if number.metric in COSTS else model.n,
                verdict=judge(number, measured, ours),
            )
        )
    return rows


def _untrained(variant: Variant, verdict: str) -> tuple[Row, ...]:
    numbers: Sequence[PublishedNumber | None] = variant.recipe.published or (None,)
    return tuple(
        Row(model=variant.label, metric=number.metric if number else "accuracy", published=number,
            measured=None, n=None, verdict=verdict)
        for number in numbers
    )  # fmt: skip


def _model_row(variant: Variant, model: _Model) -> ModelRow:
    shown = (*COSTS, *RATES)
    printed = Counter(one.metric for one in variant.recipe.published)
    return ModelRow(
        model=model.label,
        batch=" + ".join(dict.fromkeys(str(_batch(stage)) for stage in variant.recipe.networks)),
        measured={name: model.measured[name] for name in shown if name in model.measured},
        seconds=model.seconds,
        # Several reports may print one metric for the same pictures: none of them is the row's own.
        published={
            one.metric: one
            for one in variant.recipe.published
            if one.metric in shown and printed[one.metric] == 1
        },
    )


def _batch(recipe: Recipe) -> int:
    return recipe.train.finetune.batch if recipe.train.finetune.epochs else recipe.train.head.batch


def _bundle(run: Run) -> Bundle:
    folds = sorted((run.folder / "folds").glob("fold-*/model"))
    return load_bundle(folds[0]) if folds else run.model
