"""Imports go one way: a package may import only from those before it."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "pulmoscope"
ORDER = [
    "errors",
    "cores",
    "files",
    "progress",
    "labels",
    "imaging",
    "cohort",
    "evaluation",
    "models",
    "inference",
    "training",
    "search",
    "explanation",
    "report",
    "workflow",
    "cli",
    "__main__",
]


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pulmoscope":
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import")
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.split(".")[1] for alias in node.names if alias.name.startswith("pulmoscope.")
            }
    return found


def test_every_package_imports_only_from_those_above() -> None:
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        home = path.relative_to(SOURCE).parts[0].removesuffix(".py")
        if home == "__init__":  # the front door names the homes and imports nothing at run time
            continue
        assert home in ORDER, f"{home} has no place in the order"
        # __version__ and the front door itself may be named from anywhere below.
        for other in _imports(path) - {"__version__"}:
            if other not in ORDER or ORDER.index(other) > ORDER.index(home):
                wrong.append(f"{path.relative_to(SOURCE)} imports {other}")
    assert wrong == []


def test_no_file_has_more_than_500_lines() -> None:
    long = [p.name for p in SOURCE.rglob("*.py") if len(p.read_text("utf-8").splitlines()) > 500]
    assert long == []


def test_the_front_door_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = ("torch", "pandas", "matplotlib", "lightning")
    code = f"import pulmoscope, sys; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
