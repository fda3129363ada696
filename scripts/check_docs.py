"""Check the documents: links resolve, commands and options exist, Python blocks parse."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]


def broken_links(document: Path, text: str) -> list[str]:
    """Relative links whose target is not there."""
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    return [
        f"{document.name}: link to {target}" for target in targets if not (document.parent / target).exists()
    ]


def unknown_commands(document: Path, text: str) -> list[str]:
    """Lines of shell blocks that name a verb or an option that ``pulmoscope`` does not have."""
    import typer

    from pulmoscope.cli.app import app

    tree = typer.main.get_command(app)
    wrong = []
    for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", text, re.DOTALL):
        joined = re.sub(r"\\\n", " ", block)
        for line in re.findall(r"^(?:\$ )?pulmoscope (.*)$", joined, re.MULTILINE):
            words = line.split(" #")[0].split()
            command = tree
            while words and getattr(command, "commands", None):
                name = words.pop(0)
                if name.startswith("-"):
                    continue
                command = command.commands.get(name)
                if command is None:
                    wrong.append(f"{document.name}: pulmoscope {line}: no command {name}")
                    break
            if command is None:
                continue
            known = {o for p in command.params for o in (*p.opts, *p.secondary_opts)} | {"--help"}
            wrong += [
                f"{document.name}: pulmoscope {line}: no option {word}"
                for word in words
                if word.startswith("--") and word.split("=")[0] not in known
            ]
    return wrong


def broken_python(document: Path, text: str) -> list[str]:
    """Python blocks that do not parse or use a public name that is not there."""
    ps = importlib.import_module("pulmoscope")
    wrong = []
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        try:
            tree = ast.parse(block)
        except SyntaxError as error:
            wrong.append(f"{document.name}: {error}")
            continue
        wrong += [
            f"{document.name}: ps.{node.attr} does not exist"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "ps"
            and not hasattr(ps, node.attr)
        ]
    return wrong


def main() -> int:
    """Print every fault; the exit status is 1 where there is one."""
    wrong = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        wrong += (
            broken_links(document, text) + unknown_commands(document, text) + broken_python(document, text)
        )
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(DOCUMENTS)} documents checked, {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
