"""Several files replaced as one: a redo journal with named steps.

Owns the guarantee that after a kill at any point, and one call of ``Journal.recover``, either all
of the files are old or all of them are new (S37, S38 in docs/promises.md). A PKCS#12 file and its
password live in two files, so a rename alone cannot give it. Does not know what the files mean.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrators.agent import files

STAGED_SUFFIX = ".orchestrator-staged"


class JournalError(Exception):
    """A journal or a staged file is damaged; nothing was changed."""


@dataclass(frozen=True)
class Change:
    """The new content of one file, or its removal (``content`` None)."""

    path: Path
    content: bytes | None


@dataclass(frozen=True)
class Step:
    """One step of an installation. The process may die before, in or after any of them."""

    name: str
    run: Callable[[], None]


class Journal:
    """Replaces sets of files through the journal file ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def steps(self, changes: Sequence[Change]) -> tuple[Step, ...]:
        """Return the steps that carry out ``changes``, in order.

        Until ``commit`` the old files count, from ``commit`` on the new ones do.
        """
        # The files behind symbolic links are replaced, not the links.
        changes = [Change(change.path.resolve(), change.content) for change in changes]
        entries = [_entry(change) for change in changes]
        return (
            *(Step(f"stage {c.path.name}", _stage(c)) for c in changes if c.content is not None),
            Step("commit", lambda: self._commit(entries)),
            *(Step(f"carry out {Path(e['path']).name}", _carry_out(e)) for e in entries),
            Step("finish", lambda: files.remove(self._path)),
        )

    def apply(self, changes: Sequence[Change]) -> None:
        """Carry out all steps."""
        for step in self.steps(changes):
            step.run()

    def recover(self, targets: Iterable[Path]) -> bool:
        """Finish a committed set or clear what an uncommitted one left beside ``targets``.

        Returns whether a committed set was finished. Safe to be killed and called again.
        """
        finished = self._path.exists()
        if finished:
            for entry in self._read():
                _carry_out(entry)()
            files.remove(self._path)
        for left_over in (_staged(target.resolve()) for target in targets):
            if left_over.exists():
                files.remove(left_over)
        return finished

    def _commit(self, entries: list[dict[str, Any]]) -> None:
        files.write_atomic(self._path, json.dumps({"changes": entries}, indent=2).encode())

    def _read(self) -> list[dict[str, Any]]:
        try:
            entries = json.loads(self._path.read_text("utf-8"))["changes"]
            return [{"path": e["path"], "sha256": e["sha256"]} for e in entries]
        except (ValueError, KeyError, TypeError) as error:
            raise JournalError(f"{self._path} cannot be read: {error}") from error


def _staged(path: Path) -> Path:
    return path.with_name(path.name + STAGED_SUFFIX)


def _entry(change: Change) -> dict[str, Any]:
    digest = None if change.content is None else hashlib.sha256(change.content).hexdigest()
    return {"path": str(change.path), "sha256": digest}


def _stage(change: Change) -> Callable[[], None]:
    return lambda: files.write_new(_staged(change.path), change.content or b"")


def _carry_out(entry: dict[str, Any]) -> Callable[[], None]:
    path = Path(entry["path"])

    def run() -> None:
        if entry["sha256"] is None:
            files.remove(path)
            return
        staged = _staged(path)
        if not staged.exists():
            return  # An earlier run has moved it already.
        if hashlib.sha256(staged.read_bytes()).hexdigest() != entry["sha256"]:
            raise JournalError(f"{staged} is damaged")
        files.rename(staged, path)

    return run
