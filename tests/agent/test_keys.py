"""Key types and names of the built-in updater."""

from __future__ import annotations

import pytest

from orchestrators.agent.extension import ExtensionError
from orchestrators.agent.home import Home
from orchestrators.agent.keys import KEY_TYPES, KeyMaterialError
from orchestrators.agent.settings import Settings
from orchestrators.agent.updater import load_updater


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
            ("DnsSan", "bücher.example", "is not ASCII"),
        ],
    )
    def test_a_value_that_cannot_be_used_is_named(
        self, bare_home: Home, member: str, value: str, expected: str
    ) -> None:
        settings = Settings("https://p/x", "agent-1", cert_path="c", updater={member: value})
        with pytest.raises(ExtensionError, match=expected):
            load_updater(bare_home, settings).csr_info(True)

    def test_an_orchestrator_name_that_is_too_long_for_a_cn_is_named(self) -> None:
        from orchestrators.agent.keys import common_name as agent_common_name

        with pytest.raises(KeyMaterialError, match="cannot be a common name"):
            agent_common_name("x" * 65)
