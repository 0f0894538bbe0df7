"""Registration handlers of the tests: each does one thing that a deployment's could do.

Owns no state but a list of what was asked, which a fixture empties.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

from orchestrators.registration.handler import (
    Allow,
    Defer,
    Deny,
    EnrollmentRequest,
    Issuance,
    RegistrationHandler,
    RegistrationRequest,
)

asked: list[tuple[str, str, Any]] = []
"""Handler, method and request of each call."""
release = threading.Event()
"""Lets handlers that hang go on."""


class Spy(RegistrationHandler):
    """Notes what it is asked and leaves it to the next."""

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        asked.append((type(self).__name__, "decide", request))
        return Defer("not mine")

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        asked.append((type(self).__name__, "enroll", request))
        return None

    def requested(self, request: RegistrationRequest, what: str) -> None:
        asked.append((type(self).__name__, what, request))


class AllowsWeb(Spy):
    name = "web hosts"

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        super().decide(request)
        if request.client_machine.startswith("web"):
            return Allow("a web host", labels={"tier": "web"})
        return Defer()


class DeniesAll(Spy):
    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        super().decide(request)
        return Deny("the inventory does not know it")


class Raises(RegistrationHandler):
    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        raise RuntimeError("the inventory is down")

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        raise RuntimeError("the inventory is down")

    def requested(self, request: RegistrationRequest, what: str) -> None:
        raise RuntimeError("the inventory is down")


class Hangs(RegistrationHandler):
    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        release.wait(30)
        return Allow()

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        release.wait(30)
        return None


class HangsInDecide(RegistrationHandler):
    """Says nothing of enrollments."""

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        release.wait(30)
        return Defer()


class AllowsInATenth(RegistrationHandler):
    """Takes a tenth of a second, as one that asks an inventory."""

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        release.wait(0.1)
        return Allow("the inventory knows it")


class AnswersNonsense(RegistrationHandler):
    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        return True  # type: ignore[return-value]

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        return "Second CA"  # type: ignore[return-value]


class Unreadable(Mapping[str, str]):
    """Labels that are fetched when somebody looks at them."""

    def __getitem__(self, key: str) -> str:
        raise RuntimeError("the inventory is down")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("the inventory is down")

    def __len__(self) -> int:
        return 1


class AnswersLater(RegistrationHandler):
    """Its answer fails when it is read."""

    def decide(self, request: RegistrationRequest) -> Allow | Deny | Defer:
        return Allow("a host", labels=Unreadable())


class NamesSecond(RegistrationHandler):
    """Names CA and template that are not the settings' ones."""

    name = "second"

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        asked.append((self.name, "enroll", request))
        return Issuance("Second CA", "Short-lived")


class NamesTemplateOnly(RegistrationHandler):
    name = "template only"

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        return Issuance(certificate_template="Short-lived")


class NamesUnknownCA(RegistrationHandler):
    name = "stale"

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        return Issuance("Gone CA", "")


class NamesUnknownTemplate(RegistrationHandler):
    name = "stale"

    def enroll(self, request: EnrollmentRequest) -> Issuance | None:
        return Issuance("", "Gone")


class NoName(RegistrationHandler):
    """Its name is no text."""

    name = 5  # type: ignore[assignment]


class CannotBeMade(RegistrationHandler):
    def __init__(self) -> None:
        raise RuntimeError("no configuration file")


class NoHandler:
    pass
