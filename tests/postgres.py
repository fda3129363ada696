"""Debian's PostgreSQL server for tests: its own folder, a socket instead of a port, an unprivileged user."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# The server refuses to run as the super-user; Debian's package makes the first of these.
_USERS = ("postgres", "nobody")


class Server:
    """A server that can be stopped and restarted.

    Args:
        programs: Where ``initdb`` and ``pg_ctl`` are.
        folder: Empty, and short: a socket's path may have no more than 107 letters.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._user: dict[str, object] = {}
        if os.geteuid() == 0:
            user = next(user for user in pwd.getpwall() if user.pw_name in _USERS)
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._call(
            "initdb", "--username=tester", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )

    @property
    def url(self) -> str:
        """For SQLAlchemy, with psycopg 3."""
        return f"postgresql+psycopg://tester@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start, and wait until it answers."""
        # A socket in the folder and no port: nothing to collide with, and nobody else comes in.
        options = f"-k {self._folder} -c listen_addresses="
        self._call("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it; ``immediate`` breaks off every connection and leaves the recovery to the next start."""
        self._call("pg_ctl", "stop", "-w", "-m", mode)

    def restart(self, mode: str = "immediate") -> None:
        """Stop and start."""
        self._call("pg_ctl", "restart", "-w", "-m", mode, "-l", str(self._folder / "log"))

    def starts(self) -> int:
        """How often it has begun to answer."""
        return (self._folder / "log").read_text().count("ready to accept connections")

    def _call(self, program: str, *arguments: str) -> None:
        command = [self._programs / program, "-D", self._folder / "data", *arguments]
        # Into a file: the server keeps what it inherits open, and a pipe would never end.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                command,
                check=False,
                stdout=said,
                stderr=said,
                cwd=self._folder,
                **self._user,  # type: ignore[call-overload]
            )
            said.seek(0)
            assert done.returncode == 0, said.read().decode()


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A server that answers, or a skip that says what is missing."""
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL: pip install 'pulmoscope[postgres]'")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    try:
        server = Server(found[-1].parent, folder)
        server.start()
        try:
            yield server
        finally:
            with contextlib.suppress(AssertionError):
                server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
