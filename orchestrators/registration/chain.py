"""Loading the deployment's registration handlers and asking them, in order, each within its time.

Owns the isolation: a call runs in a thread of its own, outside of any transaction, in one of the
few places that a handler has for each of its methods; what raises, hangs or answers wrongly is a
failure of that handler, noted in its health, and never one of the portal. What an answer leads to
is decided elsewhere.
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
from typing import Any, TypeVar

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

T = TypeVar("T")

_PLACES = max(2, int(os.environ.get("PORTAL_WEB_THREADS", "16")) // 4)
_places: dict[tuple[str, str], threading.BoundedSemaphore] = {}
"""Of each handler's path and method: whoever hangs in one takes no place of another."""
_making_places = threading.Lock()
_waiters = threading.BoundedSemaphore(_PLACES)
"""Of all handlers together: whoever waits for them is a web thread that serves nobody else."""
_ANSWERS_NOTED_EVERY = timedelta(minutes=1)
_MOST_TEXT = 300


class HandlerFailed(Exception):
    """A handler did not answer as it should; nothing may be made of that but a refusal."""

    def __init__(self, handler: str, problem: str, *, timed_out: bool = False) -> None:
        self.handler = handler
        self.problem = problem
        self.timed_out = timed_out
        super().__init__(f"The registration handler {handler} {problem}")


class _WrongAnswer(Exception):
    """An answer is, or has in it, a value of this type, which it may not."""


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


def _each_with_its_end(method: str, seconds: float) -> Iterator[tuple[LoadedHandler, float]]:
    """Yield each handler that has a method of its own (or could not be loaded), in order, with the
    moment (monotonic) by which it has to answer.

    An equal share of what is left at its turn: a slow one takes no time from those after it, and
    what a quick one leaves is theirs.
    """
    end = time.monotonic() + seconds
    chain = [loaded for loaded in handlers() if _has_its_own(loaded, method)]
    for number, loaded in enumerate(chain):
        now = time.monotonic()
        yield loaded, now + max(0.0, end - now) / (len(chain) - number)


def _has_its_own(loaded: LoadedHandler, method: str) -> bool:
    """Say whether a method is not the base class's: that one has nothing to say."""
    if loaded.handler is None:
        return True
    of_base = getattr(RegistrationHandler, method)
    return getattr(getattr(loaded.handler, method), "__func__", None) is not of_base


def ask_to_decide(request: RegistrationRequest, *, seconds: float) -> HandlerVerdict:
    """Return the first Allow or Deny of the chain; a handler that fails counts as Defer."""
    for loaded, end in _each_with_its_end("decide", seconds):
        try:
            answer = _ask(loaded, "decide", request, read=_decision, end=end, now=request.now)
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


def _decision(answer: object) -> Allow | Deny | Defer:
    """Return an answer made of plain values: its class says so, and code may do otherwise.

    Reading it runs code of the handler's. Raises what that raises, and _WrongAnswer.
    """
    match answer:
        case Deny():
            return Deny(_text(answer.reason))
        case Defer():
            return Defer(_text(answer.reason))
        case Allow():
            if not isinstance(answer.labels, Mapping):
                raise _WrongAnswer(type(answer.labels).__name__)
            return Allow(
                _text(answer.reason),
                _text(answer.group),
                {_text(key): _text(value) for key, value in answer.labels.items()},
                _text(answer.service_account),
            )
    raise _WrongAnswer(type(answer).__name__)


def _choice(answer: object) -> Issuance | None:
    """Return an answer made of plain values. Raises as `_decision`."""
    match answer:
        case None:
            return None
        case Issuance():
            return Issuance(_text(answer.certificate_authority), _text(answer.certificate_template))
    raise _WrongAnswer(type(answer).__name__)


def _nothing(_answer: object) -> None:
    """Read an answer that counts for nothing."""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _WrongAnswer(type(value).__name__)
    # Not str(): a subclass may answer that with code of its own.
    return str.__str__(value)


def ask_to_enroll(request: EnrollmentRequest, *, seconds: float) -> HandlerChoice | None:
    """Return the first choice of the chain, or None. Raises HandlerFailed: then no CA is asked."""
    now = request.registration.now
    for loaded, end in _each_with_its_end("enroll", seconds):
        answer = _ask(loaded, "enroll", request, read=_choice, end=end, now=now)
        if answer is None:
            continue
        authority, template = answer.certificate_authority, answer.certificate_template
        if authority or template:
            return HandlerChoice(loaded.name, authority, template)
    return None


def tell(request: RegistrationRequest, what: str, *, seconds: float) -> None:
    """Tell every handler what an orchestrator asked for; failures are noted and nothing else."""
    for loaded, end in _each_with_its_end("requested", seconds):
        try:
            _ask(loaded, "requested", request, what, read=_nothing, end=end, now=request.now)
        except HandlerFailed:
            continue


def note_failure(handler_name: str, problem: str, *, now: datetime) -> None:
    """Note a failure that showed only in what a handler's answer led to."""
    for loaded in handlers():
        if loaded.name == handler_name:
            _note_failure(loaded, problem, timed_out=False, now=now)


def _ask(
    loaded: LoadedHandler,
    method: str,
    *arguments: Any,
    read: Callable[[object], T],
    end: float,
    now: datetime,
) -> T:
    """Call one method in a thread of its own and return what ``read`` makes there of its answer.

    Raises HandlerFailed.
    """
    if loaded.handler is None:
        raise _failed(loaded, loaded.problem, now=now)
    if not _waiters.acquire(blocking=False):
        problem = f"was not asked to {method}: {_PLACES} others wait for handlers."
        raise _failed(loaded, problem, timed_out=True, now=now)
    try:
        return _answer(loaded, method, *arguments, read=read, end=end, now=now)
    finally:
        _waiters.release()


def _answer(
    loaded: LoadedHandler,
    method: str,
    *arguments: Any,
    read: Callable[[object], T],
    end: float,
    now: datetime,
) -> T:
    call: Callable[..., Any] = getattr(loaded.handler, method)
    places = _places_of(loaded, method)
    if not places.acquire(blocking=False):
        HandlerHealth.objects.update_or_create(
            path=loaded.path[:300], defaults={"without_place_at": now}
        )
        raise _failed(
            loaded,
            f"was not asked to {method}: {_PLACES} earlier calls have not come back.",
            timed_out=True,
            now=now,
        )
    answered = threading.Event()
    answers: list[T] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            answers.append(context.run(lambda: read(call(*arguments))))
        except BaseException as error:
            errors.append(error)
        finally:
            # A place is given back when the call is over, not when nobody waits for it any more.
            places.release()
            answered.set()
            connections.close_all()

    threading.Thread(target=run, name=f"handler {loaded.name}", daemon=True).start()
    if not answered.wait(max(0.0, end - time.monotonic())):
        raise _failed(loaded, f"did not answer {method} in time.", timed_out=True, now=now)
    for error in errors:
        if isinstance(error, _WrongAnswer):
            raise _failed(loaded, f"answered with a {error}.", now=now)
        log.error("the registration handler %s failed", loaded.path, exc_info=error)
        raise _failed(loaded, f"failed: {_said(error)}", now=now)
    _note_answer(loaded, now=now)
    return answers[0]


def _places_of(loaded: LoadedHandler, method: str) -> threading.BoundedSemaphore:
    with _making_places:
        return _places.setdefault((loaded.path, method), threading.BoundedSemaphore(_PLACES))


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


def _said(error: BaseException) -> str:
    """Return an exception in one line, without what it may quote of a request's bytes."""
    text = str(error).partition("\n")[0]
    printable = "".join(ch if ch.isprintable() else " " for ch in text)
    return f"{type(error).__name__}: {printable[:_MOST_TEXT]}"
