"""Collections name views, sexes, ages and splits in their own ways; here are ours. Unknown is null."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd

_VIEWS: Mapping[str, str] = {
    "pa": "PA",
    "posteroanterior": "PA",
    "postero-anterior": "PA",
    "ap": "AP",
    "anteroposterior": "AP",
    "antero-posterior": "AP",
    "l": "lateral",
    "ll": "lateral",
    "rl": "lateral",
    "lat": "lateral",
    "lateral": "lateral",
}
_SEXES: Mapping[str, str] = {"f": "F", "female": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_SPLITS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_UNKNOWN_IDS = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "?", "-"})
#: Beyond this an age is a typing error (NIH holds 411).
OLDEST = 120.0


def split_name(text: str) -> str | None:
    """Return train, val or test for the usual spellings, else None."""
    return _SPLITS.get(text.strip().casefold())


def splits(texts: pd.Series) -> pd.Series:
    """Return train, val, test, or null."""
    return _by_value(texts, split_name)


def views(texts: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Return the view (PA, AP, lateral, other, null) and the source's own wording where it says more."""
    view = _by_value(texts, _view)
    text = texts.astype("str").str.strip()
    said_more = view.notna() & (text.str.casefold() != view.str.casefold())
    return view, text.where(said_more).astype("str")


def sexes(texts: pd.Series) -> pd.Series:
    """Return F, M, or null."""
    return _by_value(texts, lambda text: _SEXES.get(text.strip().casefold()))


def ages(texts: pd.Series) -> pd.Series:
    """Return years from texts such as "65", "34,5", "060Y" or "018M"; null where no age can be believed."""
    parts = texts.astype("str").str.extract(r"^\s*(\d+(?:[.,]\d*)?)\s*([YyMmWwDd]?)[a-z]*\s*$")
    number = pd.to_numeric(parts[0].str.replace(",", "."), errors="coerce").astype("float64")
    per_year = parts[1].str.upper().map({"M": 12.0, "W": 52.18, "D": 365.25}).astype("float64").fillna(1.0)
    years = number / per_year
    return years.where(years <= OLDEST)


def patient_ids(prefix: str, texts: pd.Series) -> pd.Series:
    """Return "PREFIX:ID"; blank and placeholder ids are null (else all "unknown" would be one patient)."""
    text = texts.astype("str").str.strip()
    known = text.notna() & ~text.str.casefold().isin(_UNKNOWN_IDS)
    return (prefix + ":" + text).where(known).astype("str")


def blank_to_null(texts: pd.Series) -> pd.Series:
    """Return stripped text; blank is null."""
    text = texts.astype("str").str.strip()
    return text.where(text != "").astype("str")


def _view(text: str) -> str | None:
    plain = text.strip().casefold()
    if not plain:
        return None
    first = plain.replace("_", " ").split()[0]
    return _VIEWS.get(plain) or _VIEWS.get(first) or "other"


def _by_value(texts: pd.Series, translate: Callable[[str], str | None]) -> pd.Series:
    # Few distinct values stand in many rows: translate each once.
    text = texts.astype("str")
    table = {value: translate(value) for value in text.dropna().unique()}
    return text.map(table).astype("str")
