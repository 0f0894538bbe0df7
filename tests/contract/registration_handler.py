"""What every registration handler must do, whatever it decides (S33 in docs/promises.md).

A handler's test file subclasses ``RegistrationHandlerContract`` with ``make_handler``, and lists
``requests`` of its own where the ones below say too little. A deployment runs it against its class.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from types import MappingProxyType

import pytest

from orchestrators.labels import parse
from orchestrators.registration.handler import (
    Allow,
    Defer,
    Deny,
    EnrollmentRequest,
    Issuance,
    RegistrationHandler,
    RegistrationRequest,
)
from tests import pki

SECONDS = 25
"""A handler that takes longer is a handler that failed."""


def registration_request(**changes: object) -> RegistrationRequest:
    request = RegistrationRequest(
        now=datetime(2026, 6, 1, 12, tzinfo=UTC),
        client_machine="agent01.example.com",
        agent_platform=5,
        agent_version="2.19.0.0",
        source_address="10.0.0.1",
        service_account="orchestrators",
        credential="bootstrap",
        capabilities=("CertStores.PEM.Inventory",),
        client_parameters=MappingProxyType({"site": "vienna"}),
        has_csr=True,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def enrollment_request(registration: RegistrationRequest) -> EnrollmentRequest:
    return EnrollmentRequest(
        registration=replace(registration, agent_id="1b4e28ba-2fa1-11d2-883f-0016d3cca427"),
        csr_subject=f"CN={registration.client_machine}",
        csr_sans=(),
        key_type="EC-P256",
        csr_der=pki.csr(),
        is_first=True,
    )


class RegistrationHandlerContract:
    """Subclass with a factory; ``requests`` are judged one by one."""

    requests: Sequence[RegistrationRequest] = (
        registration_request(),
        registration_request(client_machine=""),
        registration_request(client_machine="ａgent-ü_20260601120000", credential=""),
        registration_request(source_address="", client_parameters=MappingProxyType({})),
    )

    def make_handler(self) -> RegistrationHandler:
        raise NotImplementedError

    @pytest.fixture
    def handler(self) -> RegistrationHandler:
        return self.make_handler()

    def test_it_is_made_without_arguments_and_has_a_name(
        self, handler: RegistrationHandler
    ) -> None:
        assert isinstance(type(handler)(), RegistrationHandler)
        assert len(handler.name or type(handler).__name__) <= 100

    def test_it_judges_every_registration_in_time(self, handler: RegistrationHandler) -> None:
        for request in self.requests:
            began = time.monotonic()
            answer = handler.decide(request)
            assert time.monotonic() - began < SECONDS
            assert isinstance(answer, Allow | Deny | Defer)
            assert isinstance(answer.reason, str)

    def test_what_it_gives_with_an_approval_can_be_given(
        self, handler: RegistrationHandler
    ) -> None:
        for request in self.requests:
            answer = handler.decide(request)
            if isinstance(answer, Allow):
                assert isinstance(answer.group, str)
                assert isinstance(answer.service_account, str)
                for key, value in answer.labels.items():
                    assert parse(f"{key}={value}") == (key, value)

    def test_it_chooses_ca_and_template_by_name_or_leaves_them(
        self, handler: RegistrationHandler
    ) -> None:
        for request in self.requests:
            answer = handler.enroll(enrollment_request(request))
            assert answer is None or isinstance(answer, Issuance)
            if answer is not None:
                assert answer.certificate_authority or answer.certificate_template
                assert isinstance(answer.certificate_authority, str)
                assert isinstance(answer.certificate_template, str)

    def test_the_same_question_gets_the_same_answer(self, handler: RegistrationHandler) -> None:
        """A Register may be tried again; its answer is not to be a matter of luck."""
        for request in self.requests:
            assert handler.decide(request) == handler.decide(request)
            enrollment = enrollment_request(request)
            assert handler.enroll(enrollment) == handler.enroll(enrollment)

    def test_it_answers_in_several_threads_at_once(self, handler: RegistrationHandler) -> None:
        expected = [handler.decide(request) for request in self.requests]
        answers: list[list[object]] = []

        def ask() -> None:
            answers.append([handler.decide(request) for request in self.requests])

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert answers == [expected] * 4

    def test_a_request_cannot_be_changed(self) -> None:
        request = registration_request()
        with pytest.raises(FrozenInstanceError):
            request.client_machine = "other"  # type: ignore[misc]
        with pytest.raises(TypeError):
            request.client_parameters["site"] = "graz"  # type: ignore[index]

    def test_a_wish_it_does_not_know_is_no_error(self, handler: RegistrationHandler) -> None:
        for request in self.requests:
            assert handler.requested(request, "registration-enroll-stores") is None
            assert handler.requested(request, "no such wish") is None
