"""Reading and writing the agent protocol's messages: lenient in, exact out, hostile refused.

Owns the pure part; what the endpoint answers to such bodies is in `tests/agent_api`.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrators.protocol.answers import (
    JobTicket,
    SessionGrant,
    heartbeat_reply,
    register_reply,
    success,
)
from orchestrators.protocol.requests import (
    HeartbeatRequest,
    JobCompletion,
    JobRequest,
    MessageError,
    RegisterRequest,
    version_text,
)
from orchestrators.protocol.terms import Capability

C_AGENT: dict[str, Any] = {
    "AgentPlatform": 5,
    "AgentVersion": 563031557799936,
    "TenantId": "00000000-0000-0000-0000-000000000000",
    "ClientMachine": "agent01",
    "CSR": None,
    "AgentId": "",
    "Capabilities": ["CertStores.PEM.Inventory", "Custom.FetchLogs"],
    "ClientParameters": {"site": "Bern"},
}


class TestRegister:
    def test_the_body_of_an_existing_agent(self) -> None:
        assert RegisterRequest.parse(C_AGENT) == RegisterRequest(
            agent_platform=5,
            agent_version="2.19.0.0",
            client_machine="agent01",
            agent_id="",
            csr="",
            capabilities=("CertStores.PEM.Inventory", "Custom.FetchLogs"),
            client_parameters={"site": "Bern"},
        )

    def test_member_names_in_any_case_and_the_first_wins(self) -> None:
        body = {"clientmachine": "first", "ClientMachine": "second", "AGENTID": "x"}
        parsed = RegisterRequest.parse(body)
        assert (parsed.client_machine, parsed.agent_id) == ("first", "x")

    @pytest.mark.parametrize("wrong", [None, 5, True, [], {}, 1.5])
    def test_a_text_of_another_type_counts_as_absent(self, wrong: object) -> None:
        body = C_AGENT | {"ClientMachine": wrong, "CSR": wrong, "AgentId": wrong}
        parsed = RegisterRequest.parse(body)
        assert (parsed.client_machine, parsed.csr, parsed.agent_id) == ("", "", "")

    @pytest.mark.parametrize("wrong", [None, "5", True, [], {}])
    def test_a_number_of_another_type_counts_as_absent(self, wrong: object) -> None:
        parsed = RegisterRequest.parse({"AgentPlatform": wrong})
        assert parsed.agent_platform == 0

    @pytest.mark.parametrize("wrong", [None, "x", 5, {"a": "b"}])
    def test_lists_and_maps_of_another_type_count_as_absent(self, wrong: object) -> None:
        assert RegisterRequest.parse({"Capabilities": wrong}).capabilities == ()
        if not isinstance(wrong, dict):
            assert RegisterRequest.parse({"ClientParameters": wrong}).client_parameters == {}

    def test_entries_of_another_type_are_left_out(self) -> None:
        parsed = RegisterRequest.parse(
            {"Capabilities": ["a", 5, None, "b"], "ClientParameters": {"a": "1", "b": 2, "c": None}}
        )
        assert parsed.capabilities == ("a", "b")
        assert parsed.client_parameters == {"a": "1"}

    def test_an_empty_object_is_a_body(self) -> None:
        assert RegisterRequest.parse({}).client_machine == ""

    def test_an_unknown_platform_is_unknown(self) -> None:
        assert RegisterRequest.parse({"AgentPlatform": 99}).agent_platform == 0
        assert RegisterRequest.parse({"AgentPlatform": -1}).agent_platform == 0

    def test_a_version_as_text_is_kept(self) -> None:
        assert RegisterRequest.parse({"AgentVersion": "25.1"}).agent_version == "25.1"


HOSTILE: dict[str, object] = {
    "no object": [],
    "null": None,
    "text": "x",
    "a NUL in the name": {"ClientMachine": "a\0b"},
    "a line break in the name": {"ClientMachine": "a\nb"},
    "a direction character in the name": {"ClientMachine": "a\u202eb"},
    "an invisible character in the name": {"ClientMachine": "a\u200bb"},
    "half a surrogate pair in the name": {"ClientMachine": "a\ud800b"},
    "half a surrogate pair in a parameter": {"ClientParameters": {"a": "\udfff"}},
    "a control character in a parameter's name": {"ClientParameters": {"\x1b": "a"}},
    "a name that is too long": {"ClientMachine": "a" * 256},
    "an AgentId that is too long": {"AgentId": "a" * 65},
    "a CSR that is too long": {"CSR": "a" * (64 * 1024 + 1)},
    "too many capabilities": {"Capabilities": ["a"] * 201},
    "a capability that is too long": {"Capabilities": ["a" * 201]},
    "too many parameters": {"ClientParameters": {str(n): "a" for n in range(101)}},
    "a parameter that is too long": {"ClientParameters": {"a": "b" * 2001}},
    "a number that is too large": {"AgentVersion": 2**63},
    "infinity": {"AgentVersion": float("inf")},
    "not a number": {"AgentPlatform": float("nan")},
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_refused(body: object) -> None:
    with pytest.raises(MessageError):
        RegisterRequest.parse(body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
names = st.sampled_from([*C_AGENT, *(n.lower() for n in C_AGENT), "SessionToken", "JobId", "Log"])


@given(st.dictionaries(names | st.text(max_size=5), json_values, max_size=8))
def test_any_json_object_is_read_or_refused(body: dict[str, object]) -> None:
    for message in (RegisterRequest, HeartbeatRequest, JobRequest, JobCompletion):
        with contextlib.suppress(MessageError):
            message.parse(body)


@pytest.mark.parametrize(
    ("packed", "text"),
    [
        (563031557799936, "2.19.0.0"),
        (3 << 48 | 1 << 32 | 4 << 16 | 1, "3.1.4.1"),
        (0, ""),
        (-1, ""),
        (1, "0.0.0.1"),
    ],
)
def test_a_packed_version_is_shown_as_a_dotted_quad(packed: int, text: str) -> None:
    assert version_text(packed) == text


class TestCapabilities:
    @pytest.mark.parametrize(("name", "guid"), Capability.GUIDS.items())
    def test_names_and_guids_in_any_case_are_one(self, name: str, guid: str) -> None:
        body = {"Capabilities": [guid, guid.upper(), guid.lower(), name]}
        assert RegisterRequest.parse(body).capabilities == (name,)

    def test_an_unknown_one_is_kept(self) -> None:
        assert Capability.name_of(" CertStores.SOS.Inventory ") == "CertStores.SOS.Inventory"


class TestJobs:
    def test_a_completion_keeps_free_text_storable(self) -> None:
        parsed = JobCompletion.parse(
            {"Status": 2, "AuditId": 7, "JobId": "j", "Message": "a\0\ud800b\n", "Log": "x\ty"}
        )
        assert (parsed.status, parsed.audit_id) == (2, 7)
        assert parsed.message == "a\ufffd\ufffdb\n"
        assert parsed.log == "x\ty"

    def test_a_ticket_names_its_type_by_guid(self) -> None:
        ticket = JobTicket("id", Capability.FETCH_LOGS, "/c", "/d").to_json()
        assert ticket == {
            "JobId": "id",
            "JobTypeId": "0D8CF0C8-56CA-4B8A-B16A-C062018E170D",
            "ConfigurationEndpoint": "/c",
            "CompletionEndpoint": "/d",
            "Cron": None,
            "Schedule": None,
            "Priority": 5,
        }


class TestReplies:
    def test_no_session_is_null(self) -> None:
        assert register_reply(success(), None)["Session"] is None

    def test_a_session_has_every_member_with_its_type(self) -> None:
        grant = SessionGrant("t", "a", 5, "agent01")
        session = json.loads(json.dumps(register_reply(success(), grant)))["Session"]
        assert session == {
            "Token": "t",
            "AgentId": "a",
            "HeartbeatInterval": 5,
            "ClientMachine": "agent01",
            "Certificate": None,
            "ClientParameters": {},
            "Jobs": [],
        }

    def test_a_heartbeat_says_whether_the_session_holds(self) -> None:
        assert heartbeat_reply(success(), heartbeat_minutes=5, session_valid=False) == {
            "Result": {"Status": 1, "Error": None},
            "HeartbeatInterval": 5,
            "SessionValid": False,
        }
