"""The process that writes a run, named in `.writer` so that readers can tell whether it is alive.

Only writers take the lock of a run. A reader looks for the process that `.writer` names: the machine, the
process id and when the process started. So readers never disturb a writer, and the answer is right after
`kill -9` (the process is gone), after SIGSTOP (it still exists), after a change of the clock (start times are
compared with each other, never with now) and when the process id is used again (the start time differs).
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pellucid.errors import RunError
from pellucid.record import files

WRITER = ".writer"
LOCK = ".lock"
PATIENCE = 0.5
"""Seconds to wait for the lock: a reader on another machine tests it, for microseconds."""


@dataclass(frozen=True)
class Writer:
    """A process that writes a run.

    Attributes:
        machine: the boot of a machine, or of a container on it.
        pid: the process id.
        started: when it started, as the system counts it.
    """

    machine: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Writer:
        pid = os.getpid()
        return cls(_machine(), pid, _started(pid) or "")

    @property
    def alive(self) -> bool | None:
        """Whether the process is running; None if it runs where this process cannot see it."""
        if self.machine != _machine():
            return None
        started = _started(self.pid)
        return None if started is None and _hidden(self.pid) else started == self.started


def sign(folder: Path) -> None:
    """Record that this process writes the run in `folder`."""
    files.write_json(folder / WRITER, asdict(Writer.this_process()))


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the run in `folder` for writing, and record that this process does.

    Raises:
        RunError: another process is writing it.
        StorageError: the folder cannot be written.
    """
    import filelock  # here, since readers do not need it

    try:
        held = filelock.FileLock(folder / LOCK).acquire(timeout=PATIENCE)
    except filelock.Timeout:
        raise RunError(
            f"Run {folder.name} is being written by another process.", remedy="wait for it, or stop it first"
        ) from None
    except OSError as error:
        with files.storage(folder, f"`chmod -R u+w {shlex.quote(str(folder))}`, if the run is yours"):
            raise error
    with held:
        files.sweep(folder)
        sign(folder)
        try:
            yield
        finally:
            files.patiently((folder / WRITER).unlink, missing_ok=True)


def alive(folder: Path) -> bool:
    """Return whether a process is writing the run in `folder`; takes no lock and writes nothing."""
    writer = _signed(folder)
    if writer is None:
        return False
    known = writer.alive
    return _locked(folder) if known is None else known


def is_elsewhere(folder: Path) -> bool:
    """Return whether a process other than this one is writing the run in `folder`."""
    return _signed(folder) != Writer.this_process() and alive(folder)


def _signed(folder: Path) -> Writer | None:
    """Return the process that `.writer` names; None if there is no such file or it is damaged."""
    try:
        signed = Writer(**files.read_json(folder / WRITER))
    except (OSError, RunError, TypeError):
        return None
    return signed if type(signed.pid) is int and 0 < signed.pid < 2**31 else None


def _locked(folder: Path) -> bool:
    """Return whether the lock is held, as far as can be seen without writing; True where it cannot be seen.

    Only for a writer on another machine or in another container that shares the file system.
    """
    if os.name != "posix":
        return True
    import fcntl

    try:
        handle = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


# ---- the process table ---------------------------------------------------------------------------

LINUX = Path("/proc/sys/kernel/random/boot_id")


@functools.cache
def _machine() -> str:
    """Name what process ids belong to: a boot and a process namespace on Linux, else the host."""
    try:
        return f"{LINUX.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _started(pid: int) -> str | None:
    """Return when a process started, in a form that stays the same while it lives; None if there is none.

    Linux counts in ticks since boot and other systems store the time of the start, so that setting the clock
    changes neither.
    """
    if LINUX.exists():
        return _started_linux(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else repr(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _hidden(pid: int) -> bool:
    """Return whether a process of another user exists that this one may not see (`hidepid` on Linux)."""
    if not LINUX.exists():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _started_linux(pid: int) -> str | None:
    """Read field 22 of /proc/PID/stat; a process that has ended but is still listed (a zombie) is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()
