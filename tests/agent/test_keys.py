"""Key types and names of the built-in updater."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from orchestrators.agent.extension import ExtensionError
from orchestrators.agent.home import Home
from orchestrators.agent.keys import KEY_TYPES
from orchestrators.agent.settings import Settings
from orchestrators.agent.updater import load_updater
from renewal.x509.csr_door import open_csr
from renewal.x509.names_policy import NamesMode, NamesPolicy, check_names, own_names_of
from tests.agent.portal_double import AGENT_ID


class TestKeys:
    """Key types and names of the built-in updater."""

    @pytest.mark.parametrize("key_type", list(KEY_TYPES))
    def test_every_key_type_signs_a_csr(self, bare_home: Home, key_type: str) -> None:
        settings = Settings("https://p/x", "agent-1", cert_path="c", updater={"KeyType": key_type})
        info = load_updater(bare_home, settings).csr_info(True)
        assert info is not None
        assert info.csr.is_signature_valid

    @pytest.mark.parametrize(
        ("member", "value", "expected"),
        [
            ("KeyType", "RSA1024", "KeyType 'RSA1024' is none of RSA2048"),
            ("Subject", "web-1", "Subject 'web-1' is not a subject such as CN=name"),
            ("Subject", f"CN={'x' * 65}", "is not a subject such as CN=name: .*64"),
            ("DnsSan", "bücher.example", "is not ASCII"),
        ],
    )
    def test_a_value_that_cannot_be_used_is_named_at_the_start(
        self, bare_home: Home, member: str, value: str, expected: str
    ) -> None:
        settings = Settings("https://p/x", "agent-1", cert_path="c", updater={member: value})
        with pytest.raises(ExtensionError, match=expected):
            load_updater(bare_home, settings)

    @pytest.mark.parametrize(
        ("name", "dns_names"),
        [
            ("a" * 30 + "." + "b" * 34, ["a" * 30 + "." + "b" * 34]),
            ("a" * 40 + "." + "b" * 34, ["a" * 40 + "." + "b" * 34]),
            ("a_b." + "b" * 62, []),
            ("a" * 65, []),
        ],
        ids=["65 characters", "more, a DNS name", "more, not a DNS name", "a label of 65"],
    )
    def test_a_name_that_is_too_long_for_a_cn_is_proven_otherwise(
        self, bare_home: Home, name: str, dns_names: list[str]
    ) -> None:
        """The portal's own door grants what the agent asks for, and never a part of the name."""
        settings = Settings("https://p/x", name, cert_path="c")
        info = load_updater(bare_home, settings).csr_info(True)
        assert info is not None
        text = base64.b64encode(info.csr.public_bytes(Encoding.DER)).decode()
        own = own_names_of([name], AGENT_ID)
        for mode in NamesMode:
            granted = check_names(open_csr(text), NamesPolicy(mode, own))
            # Where any name is granted, no subject is granted too, beside a name.
            subject = "" if mode is NamesMode.OPEN and dns_names else f"CN={AGENT_ID}"
            assert granted.subject.rfc4514_string() == subject
            assert [value for _, value in granted.sans] == dns_names
