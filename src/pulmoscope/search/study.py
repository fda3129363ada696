"""The record of a sweep's trials in a database that workers share: Optuna's tables, and one of ours for claims."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pulmoscope.errors import RunError, StorageError
from pulmoscope.search.samplers import Params, distribution, params_key
from pulmoscope.search.space import Space

if TYPE_CHECKING:
    import optuna
    import sqlalchemy

log = logging.getLogger("pulmoscope")
T = TypeVar("T")

State = Literal["waiting", "running", "complete", "pruned", "failed"]
FINISHED: tuple[State, ...] = ("complete", "pruned", "failed")
_PATIENCE = 60.0
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0
# Of the median pruner: so many finished trials and epochs come before anything is pruned.
_PRUNE_AFTER_TRIALS, _PRUNE_AFTER_EPOCHS = 5, 1


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A trial as the storage has it.

    Attributes:
        number: From 0, the same whoever runs it.
        key: Of its values.
        state: Where it stands.
        value: Its objective; None before it is complete.
        attributes: What was recorded with its end.
        params: Axis -> value.
    """

    number: int
    key: str
    state: State
    value: float | None
    attributes: Mapping[str, Any]
    params: Params


class Study:
    """A sweep's trials in a database.

    Args:
        url: Of a database that SQLAlchemy knows: ``sqlite:///FILE``, ``postgresql+psycopg://USER@HOST/NAME``.
        name: Of this sweep in it.
        maximise: Whether a larger objective is better.
        patience: Seconds in which a lost connection is tried again.

    Raises:
        RunError: The driver is not installed.
        StorageError: The database cannot be reached.
    """

    def __init__(self, url: str, name: str, *, maximise: bool, patience: float = _PATIENCE) -> None:
        self.url, self.name, self.patience = url, name, patience
        self._storage = self._lasting(lambda: _open(url))
        self._claims = _claims_table()
        self._ids: dict[int, int] = {}
        self._study: optuna.Study = self._lasting(lambda: self._begin(maximise))

    def __enter__(self) -> Study:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def add(self, space: Space, points: Sequence[Params], *, first: int = 0) -> None:
        """Enter the trials ``first``, ``first + 1``, ...; those that are there already stay.

        Raises:
            RunError: One that is there has other values.
        """
        from optuna.trial import TrialState, create_trial

        axes = {axis.name: axis for axis in space.axes}
        known = {trial.number: trial.key for trial in self.trials()}
        for number, params in enumerate(points, first):
            key = params_key(params)
            if number in known:
                if known[number] != key:
                    raise RunError(
                        f"trial {number} of {self.name} has other values in the storage",
                        code="E_RESUME_MISMATCH",
                        remedy="sweep into another folder with --out",
                    )
                continue
            trial = create_trial(
                params=dict(params),
                distributions={name: distribution(axes[name]) for name in params},
                user_attrs={"number": number, "key": key},
                state=TrialState.WAITING,
            )
            self._lasting(self._adder(trial, number))

    def trials(self) -> list[Recorded]:
        """All trials, by number."""
        return [_recorded(trial) for trial in self._lasting(self._all)]

    def claim(self, number: int, owner: str) -> bool:
        """Take a trial; only one owner ever gets it, and asking again gives it again to the same.

        One row with the trial's number as its key stands for the claim, so of two that insert it at the same moment the
        database refuses one. A lost connection cannot leave it open whose it is: the row says so.
        """
        if not self._lasting(lambda: self._insert_claim(number, owner)):
            return False
        self._lasting(lambda: self._set_running(number))
        return True

    def release(self, numbers: Sequence[int]) -> None:
        """Give up the claims on trials, whoever had them: their workers are gone, or what they left is.

        A trial that has ended stays so here, even where its files are made again; but one that failed waits for a new
        try. Optuna never opens an ended trial again, so the new try is another entry, and of a number's entries the
        last counts.
        """
        for number in numbers:
            self._lasting(functools.partial(self._delete_claim, number))

    def finish(
        self,
        number: int,
        state: Literal["complete", "pruned", "failed"],
        value: float | None,
        **attributes: Any,
    ) -> None:
        """Enter how a trial ended. What has been entered once stays, so that this may be said again."""
        self._lasting(lambda: self._finish_once(number, state, value, attributes))

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Enter the objective after an epoch; whether the trial lies under the median of the others and may end."""
        return self._lasting(lambda: self._report_once(number, epoch, value))

    def _begin(self, maximise: bool) -> optuna.Study:
        import optuna

        self._claims.metadata.create_all(self._storage.engine)
        return optuna.create_study(
            study_name=self.name,
            storage=self._storage,
            load_if_exists=True,
            direction="maximize" if maximise else "minimize",
            pruner=optuna.pruners.MedianPruner(_PRUNE_AFTER_TRIALS, _PRUNE_AFTER_EPOCHS + 1),
        )

    def _all(self) -> list[Any]:
        # Straight from the database: the study's own list may be one that was cached before a restart.
        entries = sorted(
            self._storage.get_all_trials(self._study._study_id, deepcopy=False),
            key=lambda trial: (int(trial.user_attrs["number"]), trial._trial_id),
        )
        return list({int(trial.user_attrs["number"]): trial for trial in entries}.values())

    def _find(self, number: int) -> Any:
        if number not in self._ids:
            self._ids = {int(trial.user_attrs["number"]): trial._trial_id for trial in self._all()}
        if number not in self._ids:
            raise RunError(f"{self.name} has no trial {number} in its storage", code="E_SWEEP_STORAGE")
        return self._storage.get_trial(self._ids[number])

    def _adder(self, trial: Any, number: int) -> Callable[[], None]:
        tried: list[bool] = []

        def add() -> None:
            # A connection may have broken after the trial was entered and before we were told.
            there = bool(tried) and any(one.user_attrs["number"] == number for one in self._all())
            tried.append(True)
            if not there:
                self._storage.create_new_trial(self._study._study_id, template_trial=trial)

        return add

    def _insert_claim(self, number: int, owner: str) -> bool:
        import sqlalchemy

        mine = {"study": self.name, "number": number}
        try:
            with self._storage.engine.begin() as connection:
                connection.execute(sqlalchemy.insert(self._claims).values(**mine, owner=owner))
        except sqlalchemy.exc.IntegrityError:
            columns = self._claims.c
            asked = sqlalchemy.select(columns.owner).where(
                columns.study == self.name, columns.number == number
            )
            with self._storage.engine.connect() as connection:
                return bool(connection.execute(asked).scalar() == owner)
        return True

    def _delete_claim(self, number: int) -> None:
        import sqlalchemy
        from optuna.trial import TrialState, create_trial

        trial = self._find(number)
        columns = self._claims.c
        gone = sqlalchemy.delete(self._claims).where(columns.study == self.name, columns.number == number)
        with self._storage.engine.begin() as connection:
            connection.execute(gone)
        if trial.state == TrialState.RUNNING:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.WAITING)
        if trial.state == TrialState.FAIL:
            again = create_trial(
                params=trial.params,
                distributions=trial.distributions,
                user_attrs={name: trial.user_attrs[name] for name in ("number", "key")},
                state=TrialState.WAITING,
            )
            self._ids[number] = self._storage.create_new_trial(self._study._study_id, template_trial=again)

    def _set_running(self, number: int) -> None:
        from optuna.trial import TrialState

        trial = self._find(number)
        if trial.state == TrialState.WAITING:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)

    def _finish_once(
        self, number: int, state: State, value: float | None, attributes: Mapping[str, Any]
    ) -> None:
        import optuna
        from optuna.trial import TrialState

        trial = self._find(number)
        if trial.state.is_finished():
            return
        ends = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, content in attributes.items():
                self._storage.set_trial_user_attr(trial._trial_id, name, content)
            values = None if value is None else [value]
            self._storage.set_trial_state_values(trial._trial_id, ends[state], values)

    def _report_once(self, number: int, epoch: int, value: float) -> bool:
        trial_id = self._find(number)._trial_id
        self._storage.set_trial_intermediate_value(trial_id, epoch, value)
        return bool(self._study.pruner.prune(self._study, self._storage.get_trial(trial_id)))

    def _lasting(self, act: Callable[[], T]) -> T:
        """Do ``act``, and again where the database has gone for a while."""
        return lasting(act, patience=self.patience, what=_without_password(self.url))


def lasting(act: Callable[[], T], *, patience: float, what: str) -> T:
    """Do ``act`` until the database answers.

    Args:
        act: May be done twice: the database may have done it before the connection broke.
        patience: Seconds after which it is given up.
        what: The database, for the message.

    Raises:
        StorageError: It did not come back.
    """
    import optuna
    import sqlalchemy

    began, wait = time.monotonic(), _FIRST_WAIT
    while True:
        try:
            return act()
        except (
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InterfaceError,
            sqlalchemy.exc.InternalError,
            optuna.exceptions.StorageInternalError,
        ) as error:
            if time.monotonic() - began + wait > patience:
                raise StorageError(
                    f"the trials' storage {what} does not answer",
                    code="E_SWEEP_STORAGE",
                    got=" ".join(str(error.__cause__ or error).split())[:200],
                    remedy="start it and go on with --resume; finished trials are kept",
                ) from error
            log.warning("the trials' storage does not answer: trying again in %.1f s", wait)
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


def reach(url: str) -> None:
    """Prove that a database answers now, before anything is begun that needs it.

    Raises:
        RunError: The driver is not installed, or ``url`` is no address.
        StorageError: It does not answer.
    """
    storage = lasting(lambda: _open(url), patience=0.0, what=_without_password(url))
    storage.remove_session()
    storage.engine.dispose()


def is_inside(url: str, folder: Path) -> bool:
    """Whether the database is a file below ``folder``, and so cannot be there before it."""
    import sqlalchemy

    with contextlib.suppress(sqlalchemy.exc.ArgumentError):
        address = sqlalchemy.make_url(url)
        if address.get_backend_name() == "sqlite" and address.database:
            return Path(address.database).resolve().is_relative_to(folder)
    return False


def is_file(url: str) -> bool:
    """Whether the database is a file, which one machine at a time may write: SQLite's."""
    import sqlalchemy

    with contextlib.suppress(sqlalchemy.exc.ArgumentError):
        return sqlalchemy.make_url(url).get_backend_name() == "sqlite"
    return False


def sqlite_url(folder: Path) -> str:
    """The database in a sweep's folder."""
    return f"sqlite:///{(folder / 'study.sqlite').resolve()}"


def _open(url: str) -> Any:
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        sqlite = sqlalchemy.make_url(url).get_backend_name() == "sqlite"
        options: dict[str, Any] = {"connect_args": {"timeout": 60}} if sqlite else {"pool_pre_ping": True}
        with _quietly():
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        raise RunError(
            f"{_without_password(url)} needs a driver that is not installed",
            code="E_STORAGE_DRIVER",
            got=str(error).splitlines()[0],
            remedy="pip install 'pulmoscope[postgres]' for postgresql+psycopg://",
        ) from error
    except sqlalchemy.exc.ArgumentError as error:
        raise RunError(
            f"--storage {_without_password(url)} is no address of a database",
            code="E_USAGE",
            expected="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME",
        ) from error


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _claims_table() -> sqlalchemy.Table:
    import sqlalchemy

    return sqlalchemy.Table(
        "pulmoscope_claims",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("study", sqlalchemy.String(512), primary_key=True),
        sqlalchemy.Column("number", sqlalchemy.Integer, primary_key=True, autoincrement=False),
        sqlalchemy.Column("owner", sqlalchemy.String(128), nullable=False),
    )


def _recorded(trial: Any) -> Recorded:
    from optuna.trial import TrialState

    names: dict[Any, State] = {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }
    attributes = {k: v for k, v in trial.user_attrs.items() if k not in ("number", "key")}
    return Recorded(
        number=int(trial.user_attrs["number"]),
        key=str(trial.user_attrs["key"]),
        state=names[trial.state],
        value=trial.values[0] if trial.state == TrialState.COMPLETE and trial.values else None,
        attributes=attributes,
        params=dict(trial.params),
    )


def _without_password(url: str) -> str:
    import sqlalchemy

    try:
        return sqlalchemy.make_url(url).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return "(unreadable)"
