"""Class names, their order and hierarchy, and the rules that turn a source's finding into a class."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from pulmoscope.errors import LabelError, did_you_mean, near_names

_MAX_YAML_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class LabelScheme:
    """Ordered classes and the rules that fill them.

    Args:
        name: Name of the scheme.
        classes: Class names in the order of a model's outputs.
        rules: ``(pattern, class or None)`` in order; the first pattern that fits decides, None leaves the
            radiograph out. A pattern is a glob (``*`` and ``?``) over the whole finding; case, hyphens and
            underscores do not matter. For a path such as ``infected/covid`` the last part alone may fit too.
        hierarchy: Node -> children, such as ``{"infected": ("non-covid", "covid")}``; None for flat classes.
    """

    name: str
    classes: tuple[str, ...]
    rules: tuple[tuple[str, str | None], ...]
    hierarchy: Mapping[str, tuple[str, ...]] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        mistakes = _mistakes(self.classes, self.rules, self.hierarchy)
        if mistakes:
            raise LabelError(
                f"label scheme {self.name!r} does not hold together: {'; '.join(mistakes)}",
                expected="distinct class names, rules whose class is one of them, a hierarchy over them",
            )

    @cached_property
    def _compiled(self) -> tuple[tuple[re.Pattern[str], str | None], ...]:
        return tuple((_glob(pattern), name) for pattern, name in self.rules)

    def classify(self, finding: str) -> str | None:
        """Return the class that takes ``finding``, or None when no class does."""
        whole = _normal_form(finding)
        leaf = whole.rpartition("/")[2].strip()
        for pattern, name in self._compiled:
            if pattern.fullmatch(whole) or pattern.fullmatch(leaf):
                return name
        return None


def load_scheme(name_or_path: str | Path) -> LabelScheme:
    """Return a built-in scheme by its name, or read one from a YAML file.

    The YAML file holds ``classes`` (a list), ``rules`` (pattern: class, in order; ``null`` leaves out) and,
    if wanted, ``name`` and ``hierarchy`` (node: list of children).

    Raises:
        LabelError: The name is unknown, or the file is no valid scheme (all mistakes in one message).
    """
    scheme = BUILT_IN.get(str(name_or_path))
    if scheme is not None:
        return scheme
    path = Path(name_or_path)
    if path.suffix.lower() in {".yaml", ".yml"} or path.is_file():
        return _read_scheme(path)
    close = near_names(str(name_or_path), BUILT_IN, cutoff=0.5)
    raise LabelError(
        f"no label scheme is called {str(name_or_path)!r}",
        expected=f"one of {', '.join(BUILT_IN)}, or a YAML file",
        remedy=did_you_mean(map(repr, close)) or "give the path of your own scheme, ending in .yaml",
    )


def _normal_form(text: str) -> str:
    return re.sub(r"[\s_\-]+", " ", text).strip().casefold()


def _glob(pattern: str) -> re.Pattern[str]:
    # Brackets are literal: findings hold them, and hyphens lose their meaning in the normal form.
    return re.compile(fnmatch.translate(_normal_form(pattern).replace("[", "[[]")))


def _mistakes(
    classes: tuple[str, ...],
    rules: tuple[tuple[str, str | None], ...],
    hierarchy: Mapping[str, tuple[str, ...]] | None,
) -> list[str]:
    found = []
    if len(classes) < 2:
        found.append(f"{len(classes)} classes, at least 2 are needed")
    if any(not name.strip() for name in classes):
        found.append("a class without a name")
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        found.append(f"classes named twice: {', '.join(twice)}")
    unknown = sorted({name for _, name in rules if name is not None and name not in classes})
    if unknown:
        found.append(f"rules for unknown classes: {', '.join(unknown)}")
    idle = [name for name in classes if name not in {target for _, target in rules}]
    if idle:
        found.append(f"no rule fills {', '.join(idle)}")
    for node, children in (hierarchy or {}).items():
        if node in classes:
            found.append(f"hierarchy node {node!r} is also a class")
        strangers = [child for child in children if child not in classes and child not in (hierarchy or {})]
        if strangers:
            found.append(f"hierarchy node {node!r} has unknown children {', '.join(strangers)}")
        if len(children) < 2:
            found.append(f"hierarchy node {node!r} needs at least 2 children")
    return found


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases (no expansion bombs) and without repeated keys (no silent loss)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.YAMLError(f"keys given twice: {', '.join(twice)}")
        return super().construct_mapping(node, deep=deep)


def _unreachable(rules: tuple[tuple[str, str | None], ...]) -> list[str]:
    """Rules that nothing reaches, because an earlier one of another class takes all that they fit."""
    found = []
    for index, (pattern, name) in enumerate(rules):
        # A pattern is covered where the earlier one fits it with its stars empty and with its stars long.
        samples = [_normal_form(pattern.replace("*", star).replace("?", "x")) for star in ("", "xx")]
        for earlier, taker in rules[:index]:
            if taker != name and all(_glob(earlier).fullmatch(sample) for sample in samples):
                found.append(f"the rule {pattern!r} is never reached: {earlier!r} stands before it")
                break
    return found


def _read_scheme(path: Path) -> LabelScheme:
    expected = "a YAML file with classes: [..] and rules: {pattern: class}"
    try:
        if path.stat().st_size > _MAX_YAML_BYTES:
            raise LabelError(f"label scheme {path} is larger than 1 MiB", expected=expected)
        content = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_PlainLoader)  # noqa: S506
    except OSError as error:
        raise LabelError(
            f"cannot read the label scheme {path}: {error.strerror}",
            expected=f"one of {', '.join(BUILT_IN)}, or a YAML file",
        ) from error
    except UnicodeDecodeError as error:
        raise LabelError(f"label scheme {path} is not UTF-8", remedy="save it as UTF-8") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2020-99-99
        raise LabelError(f"label scheme {path} is not valid YAML: {error}", expected=expected) from error
    if not isinstance(content, dict):
        raise LabelError(f"label scheme {path} is not a mapping", expected=expected)
    mistakes = []
    strangers = sorted(str(key) for key in set(content) - {"name", "classes", "rules", "hierarchy"})
    if strangers:
        mistakes.append(f"unknown keys: {', '.join(strangers)}")
    classes, rules, hierarchy = content.get("classes"), content.get("rules"), content.get("hierarchy")
    # YAML reads a bare `no` or `1` as a boolean or number: say so rather than guess the text.
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        mistakes.append("classes must be a list of texts (quote names such as 'no' or '1')")
    if not isinstance(rules, dict) or not all(
        isinstance(pattern, str) and isinstance(name, str | None) for pattern, name in rules.items()
    ):
        mistakes.append("rules must map pattern texts to class names or null")
    if hierarchy is not None and not (
        isinstance(hierarchy, dict)
        and all(
            isinstance(node, str)
            and isinstance(children, list)
            and all(isinstance(child, str) for child in children)
            for node, children in hierarchy.items()
        )
    ):
        mistakes.append("hierarchy must map a node to a list of its children")
    if not mistakes:
        mistakes = _unreachable(tuple(rules.items()))  # type: ignore[union-attr]
    if mistakes:
        raise LabelError(f"label scheme {path}: {'; '.join(mistakes)}", expected=expected)
    return LabelScheme(
        name=str(content.get("name", path.stem)),
        classes=tuple(classes),  # type: ignore[arg-type]
        rules=tuple(rules.items()),  # type: ignore[union-attr]
        hierarchy=None if hierarchy is None else {node: tuple(kids) for node, kids in hierarchy.items()},
    )


_COVID = ("covid*", "*covid 19*", "*/covid*", "sars cov 2*", "*2019 ncov*")
_NOT_COVID = ("non covid*", "not covid*", "no covid*", "*covid* negative", "negative*covid*")
_NORMAL = (
    "normal",
    "normal *",
    "normals",
    "healthy*",
    "no finding",
    "no findings",
    "no finding|support devices",
    "support devices|no finding",
    "control*",
)
_NOTHING_SAID = ("", "unknown", "todo", "n/a", "na", "none", "nan", "?", "unlabeled", "unlabelled")
_NO_PNEUMONIA = ("no pneumonia*", "non pneumonia*", "not pneumonia*")
# The second line holds Cohen's findings that name the germ instead of the pneumonia it causes.
_PNEUMONIA = (
    "*pneumonia*",
    *("pneumocystis*", "streptococcus*", "klebsiella*", "legionella*", "lipoid*", "varicella*", "e.coli*"),
    *("chlamydophila*", "influenza*", "h.influenza*", "mycoplasma*", "sars", "mers*", "staphylococcus*"),
    *("bacterial", "bacteria", "viral", "virus", "infected/non covid"),
)


def _to(name: str | None, *groups: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    return tuple((pattern, name) for group in groups for pattern in group)


#: Schemes by name. ``binary-covid`` takes every named finding; in the two others a finding that is neither
#: normal nor a pneumonia (such as "Cardiomegaly", or "ARDS" without its cause) has no class. The Kaggle
#: radiography folder "Lung_Opacity" is described there as a non-COVID lung infection, and only
#: ``normal-infected`` takes it; an opacity need not be a pneumonia.
BUILT_IN: Mapping[str, LabelScheme] = {
    scheme.name: scheme
    for scheme in (
        LabelScheme(
            name="binary-covid",
            classes=("covid", "non-covid"),
            rules=(
                *_to(None, _NOTHING_SAID),
                *_to("non-covid", _NOT_COVID),
                *_to("covid", _COVID),
                ("*", "non-covid"),
            ),
        ),
        LabelScheme(
            name="covid-pneumonia-normal",
            classes=("covid", "pneumonia", "normal"),
            rules=(
                *_to("pneumonia", ("infected/non covid",)),
                *_to(None, _NOTHING_SAID, _NOT_COVID, _NO_PNEUMONIA),
                *_to("covid", _COVID),
                *_to("normal", _NORMAL),
                *_to("pneumonia", _PNEUMONIA),
            ),
        ),
        LabelScheme(
            name="normal-infected",
            classes=("normal", "non-covid", "covid"),
            rules=(
                *_to("non-covid", ("infected/non covid", "non covid*")),
                *_to(None, _NOTHING_SAID, _NOT_COVID, _NO_PNEUMONIA),
                *_to("covid", _COVID),
                *_to("normal", _NORMAL),
                *_to("non-covid", _PNEUMONIA, ("lung opacity",)),
            ),
            hierarchy={"infected": ("non-covid", "covid")},
        ),
    )
}
