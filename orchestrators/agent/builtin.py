"""The built-in registration updater: renewal for those who write no extension.

Owns how ``RegistrationUpdater`` of appsettings.json becomes key and CSR. Does nothing that an
extension could not do: it implements the same contract.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography import x509

from orchestrators.agent.extension import CsrInfo
from orchestrators.agent.keys import (
    DEFAULT_KEY_TYPE,
    build_csr,
    common_name,
    generate_key,
    parse_subject,
    split_names,
)

_OWN_KEYS = frozenset({"Subject", "DnsSan", "KeyType", "ForceRenewal"})


class BuiltInUpdater:
    """Makes a key of ``KeyType`` and a CSR for ``Subject`` and ``DnsSan``.

    Without ``Subject`` the CN is the orchestrator's name. ``ForceRenewal`` is the text "True" or
    "False". All other members of the configuration become client parameters.
    """

    def __init__(self, config: Mapping[str, str], orchestrator_name: str) -> None:
        self._config = config
        self._name = orchestrator_name

    @property
    def client_parameters(self) -> Mapping[str, str]:
        """Members of the configuration that are not about the CSR."""
        return {name: value for name, value in self._config.items() if name not in _OWN_KEYS}

    def get_csr_info(self, new_certificate_requested_by_platform: bool) -> CsrInfo | None:
        """Return key and CSR if the portal or ``ForceRenewal`` asks for it."""
        if not new_certificate_requested_by_platform and not self._forced():
            return None
        key = generate_key(self._config.get("KeyType", DEFAULT_KEY_TYPE))
        names = split_names(self._config.get("DnsSan", ""))
        return CsrInfo(build_csr(key, self._subject(), names), key)

    def _forced(self) -> bool:
        # The text "False" is not false by itself (S10 in docs/promises.md).
        return self._config.get("ForceRenewal", "").strip().lower() == "true"

    def _subject(self) -> x509.Name:
        subject = self._config.get("Subject", "")
        return parse_subject(subject) if subject else common_name(self._name)
