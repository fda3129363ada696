"""The program's frame: logging, signals, and one line for every error."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import warnings
from types import FrameType
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pulmoscope import __version__
from pulmoscope.cli import (
    ablate,
    augment,
    calibrate,
    claims,
    cohort,
    compare,
    demo,
    doctor,
    embed,
    ensemble,
    evaluate,
    explain,
    features,
    filters,
    model,
    operating,
    plan,
    predict,
    prune,
    recipes,
    replay,
    report,
    scorecard,
    subgroups,
    sweep,
    train,
    uncertainty,
)
from pulmoscope.cores import cores
from pulmoscope.errors import PulmoscopeError

app = typer.Typer(
    name="pulmoscope",
    help="Train, compare, explain and audit chest radiograph classifiers. Research use only: not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(cohort.app, name="cohort")
app.command("train")(train.train)
app.command("recipes")(recipes.recipes)
app.command("replay")(replay.replay)
app.command("sweep")(sweep.sweep)
app.command("ablate")(ablate.ablate)
app.command("augment")(augment.augment)
app.command("evaluate")(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("scorecard")(scorecard.scorecard)
app.command("features")(features.features)
app.command("filters")(filters.filters)
app.command("embed")(embed.embed)
app.command("prune")(prune.prune)
app.command("compare")(compare.compare)
app.command("calibrate")(calibrate.calibrate)
app.command("operating")(operating.operating)
app.command("subgroups")(subgroups.subgroups)
app.command("ensemble")(ensemble.ensemble)
app.command("uncertainty")(uncertainty.uncertainty)
app.command("plan")(plan.plan)
app.command("claims")(claims.claims)
app.command("report")(report.report)
app.command("predict")(predict.predict)
app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("model")(model.model)


BUSY = 0.4
"""Load of the last minute, as a share of the cores, over which they count as taken: one busy process on two cores."""


class Interrupted(BaseException):
    """A signal asked us to stop. Not an ``Exception``, so nothing on the way swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_status = 128 + number
        self.name = signal.Signals(number).name


def _version(wanted: bool) -> None:
    if wanted:
        print(f"pulmoscope {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say only what went wrong.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del debug, version
    log = logging.getLogger("pulmoscope")
    log.setLevel(logging.INFO)
    for handler in log.handlers:
        handler.setLevel(logging.WARNING if quiet else logging.INFO)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave with its status.

    0 done; 2 a mistake in what was given; 3 some inputs could not be read; 4 the disk; 130 and 143 interrupted.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    _prepare(debug)
    try:
        status = app(args=arguments, standalone_mode=False)
        # typer.Exit(code) comes back as a return value outside standalone mode.
        sys.exit(status if isinstance(status, int) else 0)
    except PulmoscopeError as error:
        _explain(error, debug)
        sys.exit(error.exit_status)
    except TyperException as error:
        _say(f"error: E_USAGE: {_usage(error)}; remedy: see pulmoscope --help")
        sys.exit(2)
    except (Interrupted, typer.Abort, KeyboardInterrupt) as error:
        status = error.exit_status if isinstance(error, Interrupted) else 130
        command = next((one for one in arguments if not one.startswith("-")), "")
        how = " with --resume" if command in {"train", "sweep", "ablate"} else ""
        _say(f"interrupted: what was finished is kept; to go on, run the same command again{how}")
        sys.exit(status)
    except BrokenPipeError:
        # The reader of our output left (as in `| head`): nothing is wrong, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError as error:
        _explain(error, debug)
        _say("error: E_MEMORY: memory ran out; remedy: smaller pictures (preprocess.size) or a smaller batch")
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a user gets one line, never a traceback
        _explain(error, debug)
        sys.exit(1)


def _prepare(debug: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("pulmoscope")
    log.handlers[:] = [handler]
    log.propagate = False
    if not debug:
        # Libraries warn developers, not users; what matters to users is said by us.
        warnings.simplefilter("ignore")
    _share_cores()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    # File names need not be UTF-8; printing one must not end the program.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _share_cores() -> None:
    """Where the cores are taken, let threads sleep while they wait for each other, before PyTorch reads the setting.

    By default they spin, which is a little faster on idle cores; on taken ones the thread that is waited for does not
    get its turn, and a training crawls.
    """
    taken = 0.0
    with contextlib.suppress(AttributeError, OSError):  # not every system tells its load
        taken = os.getloadavg()[0]
    if taken > BUSY * cores():
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _interrupt(number: int, frame: FrameType | None) -> None:
    del frame
    raise Interrupted(number)


def _explain(error: BaseException, debug: bool) -> None:
    if debug:
        raise error
    if isinstance(error, PulmoscopeError):
        _say(f"error: {error}")
    elif not isinstance(error, MemoryError):
        text = " ".join(str(error).split())[:300]
        _say(
            f"error: E_INTERNAL: {type(error).__name__}: {text}; remedy: run again with --debug and report it"
        )


def _usage(error: TyperException) -> str:
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return " ".join(str(message).split())


def _say(line: str) -> None:
    print(line, file=sys.stderr)
