"""Loading the deployment's registration handlers and asking them, in order, each within its time.

Owns the isolation: a call runs in a thread of its own, outside of any transaction, in a bounded
number of places; what raises, hangs or answers wrongly is a failure of that handler, noted in its
health, and never one of the portal. What an answer leads to is decided elsewhere.
"""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import F
from django.utils.module_loading import import_string

from orchestrators.registration.handler import (
    Allow,
    Defer,
    Deny,
    EnrollmentRequest,
    Issuance,
    RegistrationHandler,
    RegistrationRequest,
)
from orchestrators.registration.models import HandlerHealth
from orchestrators.registration.rules import Assignment, Outcome

log = logging.getLogger(__name__)

_PLACES = max(2, int(os.environ.get("PORTAL_WEB_THREADS", "16")) // 4)
_places = threading.BoundedSemaphore(_PLACES)
_ANSWERS_NOTED_EVERY = timedelta(minutes=1)
_MOST_TEXT = 300


class HandlerFailed(Exception):
    """A handler did not answer as it should; nothing may be made of that but a refusal."""

    def __init__(self, handler: str, problem: str, *, timed_out: bool = False) -> None:
        self.handler = handler
        self.problem = problem
        self.timed_out = timed_out
        super().__init__(f"The registration handler {handler} {problem}")


@dataclass(frozen=True)
class LoadedHandler:
    """One handler of the chain; without an object it could not be loaded (``problem``)."""

    path: str
    name: str
    handler: RegistrationHandler | None = None
    problem: str = ""


@dataclass(frozen=True)
class HandlerVerdict:
    """What the chain says of a first registration."""

    outcome: Outcome = Outcome.DEFER
    handler: str = ""
    reason: str = ""
    assignment: Assignment = field(default_factory=Assignment)


@dataclass(frozen=True)
class HandlerChoice:
    """CA and template that a handler named; an empty one is left to group and settings."""

    handler: str
    authority: str
    template: str


def handlers() -> tuple[LoadedHandler, ...]:
    """Return the chain of this deployment, in order; loaded once per process."""
    return _loaded(settings.CONFIG.registration_handlers)


@lru_cache(maxsize=4)
def _loaded(paths: tuple[str, ...]) -> tuple[LoadedHandler, ...]:
    return tuple(_load(path) for path in paths)


def _load(path: str) -> LoadedHandler:
    name = path.rpartition(".")[2]
    try:
        made = import_string(path)()
        if not isinstance(made, RegistrationHandler):
            return LoadedHandler(path, name, problem="is not a RegistrationHandler.")
        return LoadedHandler(path, (made.name or name)[:100], made)
    except Exception as error:
        log.exception("the registration handler %s cannot be loaded", path)
        return LoadedHandler(path, name, problem=f"cannot be loaded: {_said(error)}")


def _each_with_its_end(seconds: float) -> Iterator[tuple[LoadedHandler, float]]:
    """Yield each handler of the chain with the moment (monotonic) by which it has to answer.

    An equal share of what is left at its turn: a slow one takes no time from those after it, and
    what a quick one leaves is theirs.
    """
    end = time.monotonic() + seconds
    chain = handlers()
    for number, loaded in enumerate(chain):
        now = time.monotonic()
        yield loaded, now + max(0.0, end - now) / (len(chain) - number)


def ask_to_decide(request: RegistrationRequest, *, seconds: float) -> HandlerVerdict:
    """Return the first Allow or Deny of the chain; a handler that fails counts as Defer."""
    for loaded, end in _each_with_its_end(seconds):
        try:
            answer = _ask(loaded, "decide", request, end=end, now=request.now)
            if not isinstance(answer, Allow | Deny | Defer) or not _is_text(answer):
                raise _wrong_answer(loaded, answer, now=request.now)
        except HandlerFailed:
            continue
        reason = answer.reason[:_MOST_TEXT]
        if isinstance(answer, Deny):
            return HandlerVerdict(Outcome.DENY, loaded.name, reason)
        if isinstance(answer, Allow):
            assignment = Assignment(
                answer.service_account, answer.group, labels=dict(answer.labels)
            )
            return HandlerVerdict(Outcome.ALLOW, loaded.name, reason, assignment)
    return HandlerVerdict()


def _is_text(answer: Allow | Deny | Defer) -> bool:
    """Say whether an answer is made of text: its class says so, and code may do otherwise."""
    values: list[object] = [answer.reason]
    if isinstance(answer, Allow):
        if not isinstance(answer.labels, Mapping):
            return False
        values += [answer.group, answer.service_account]
        values += [*answer.labels.keys(), *answer.labels.values()]
    return all(isinstance(value, str) for value in values)


def ask_to_enroll(request: EnrollmentRequest, *, seconds: float) -> HandlerChoice | None:
    """Return the first choice of the chain, or None. Raises HandlerFailed: then no CA is asked."""
    now = request.registration.now
    for loaded, end in _each_with_its_end(seconds):
        answer = _ask(loaded, "enroll", request, end=end, now=now)
        if answer is None:
            continue
        if not isinstance(answer, Issuance):
            raise _wrong_answer(loaded, answer, now=now)
        authority, template = answer.certificate_authority, answer.certificate_template
        if not isinstance(authority, str) or not isinstance(template, str):
            raise _wrong_answer(loaded, answer, now=now)
        if authority or template:
            return HandlerChoice(loaded.name, authority, template)
    return None


def tell(request: RegistrationRequest, what: str, *, seconds: float) -> None:
    """Tell every handler what an orchestrator asked for; failures are noted and nothing else."""
    for loaded, end in _each_with_its_end(seconds):
        try:
            _ask(loaded, "requested", request, what, end=end, now=request.now)
        except HandlerFailed:
            continue


def note_failure(handler_name: str, problem: str, *, now: datetime) -> None:
    """Note a failure that showed only in what a handler's answer led to."""
    for loaded in handlers():
        if loaded.name == handler_name:
            _note_failure(loaded, problem, timed_out=False, now=now)


def _ask(loaded: LoadedHandler, method: str, *arguments: Any, end: float, now: datetime) -> Any:
    """Call one method in a thread of its own and return its answer. Raises HandlerFailed."""
    if loaded.handler is None:
        raise _failed(loaded, loaded.problem, now=now)
    call: Callable[..., Any] = getattr(loaded.handler, method)
    places = _places
    if not places.acquire(blocking=False):
        raise _failed(
            loaded,
            f"was not asked: {_PLACES} earlier calls have not come back.",
            timed_out=True,
            now=now,
        )
    answered = threading.Event()
    outcome: list[tuple[bool, Any]] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            outcome.append((True, context.run(call, *arguments)))
        except BaseException as error:
            outcome.append((False, error))
        finally:
            # A place is given back when the call is over, not when nobody waits for it any more.
            places.release()
            answered.set()
            connections.close_all()

    threading.Thread(target=run, name=f"handler {loaded.name}", daemon=True).start()
    if not answered.wait(max(0.0, end - time.monotonic())):
        raise _failed(loaded, f"did not answer {method} in time.", timed_out=True, now=now)
    is_answer, value = outcome[0]
    if not is_answer:
        log.error("the registration handler %s failed", loaded.path, exc_info=value)
        raise _failed(loaded, f"failed: {_said(value)}", now=now)
    _note_answer(loaded, now=now)
    return value


# --- health -----------------------------------------------------------------------------------

_answers_noted: dict[str, datetime] = {}


def _note_answer(loaded: LoadedHandler, *, now: datetime) -> None:
    noted = _answers_noted.get(loaded.path)
    if noted is not None and now - noted < _ANSWERS_NOTED_EVERY:
        return
    _answers_noted[loaded.path] = now
    HandlerHealth.objects.update_or_create(path=loaded.path[:300], defaults={"last_answer_at": now})


def _note_failure(loaded: LoadedHandler, problem: str, *, timed_out: bool, now: datetime) -> None:
    _answers_noted.pop(loaded.path, None)
    row, _ = HandlerHealth.objects.get_or_create(path=loaded.path[:300])
    counter = "time_outs" if timed_out else "failures"
    HandlerHealth.objects.filter(pk=row.pk).update(
        **{counter: F(counter) + 1}, last_error=problem[:1000], last_error_at=now
    )


def _failed(
    loaded: LoadedHandler, problem: str, *, timed_out: bool = False, now: datetime
) -> HandlerFailed:
    _note_failure(loaded, problem, timed_out=timed_out, now=now)
    return HandlerFailed(loaded.name, problem, timed_out=timed_out)


def _wrong_answer(loaded: LoadedHandler, answer: object, *, now: datetime) -> HandlerFailed:
    return _failed(loaded, f"answered with a {type(answer).__name__}.", now=now)


def _said(error: BaseException) -> str:
    """Return an exception in one line, without what it may quote of a request's bytes."""
    text = str(error).partition("\n")[0]
    printable = "".join(ch if ch.isprintable() else " " for ch in text)
    return f"{type(error).__name__}: {printable[:_MOST_TEXT]}"
