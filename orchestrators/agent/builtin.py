"""The built-in registration updater: renewal for those who write no extension.

Owns how ``RegistrationUpdater`` of appsettings.json becomes key and CSR. Does nothing that an
extension could not do: it implements the same contract.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrators.agent.extension import CsrInfo
from orchestrators.agent.keys import (
    DEFAULT_KEY_TYPE,
    alternative_names,
    build_csr,
    key_maker,
    names_of,
    parse_subject,
    split_names,
)

_OWN_KEYS = frozenset({"Subject", "DnsSan", "KeyType", "ForceRenewal"})


class BuiltInUpdater:
    """Makes a key of ``KeyType`` and a CSR for ``Subject`` and ``DnsSan``.

    Without ``Subject`` the CSR is for the orchestrator's name. ``ForceRenewal`` is the text "True"
    or "False". All other members of the configuration become client parameters. What can lead to
    no CSR is refused at the start, not on the day that a certificate is due: the constructor
    raises KeyMaterialError.
    """

    def __init__(self, config: Mapping[str, str], orchestrator_name: str) -> None:
        self._config = config
        self._make_key = key_maker(config.get("KeyType", DEFAULT_KEY_TYPE))
        names = split_names(config.get("DnsSan", ""))
        if subject := config.get("Subject", ""):
            self._subject = parse_subject(subject)
        else:
            self._subject, own = names_of(orchestrator_name)
            names = tuple(dict.fromkeys((*own, *names)))
        self._dns_names = names
        alternative_names(names)

    @property
    def client_parameters(self) -> Mapping[str, str]:
        """Members of the configuration that are not about the CSR."""
        return {name: value for name, value in self._config.items() if name not in _OWN_KEYS}

    def get_csr_info(self, new_certificate_requested_by_platform: bool) -> CsrInfo | None:
        """Return key and CSR if the portal or ``ForceRenewal`` asks for it."""
        if not new_certificate_requested_by_platform and not self._forced():
            return None
        key = self._make_key()
        return CsrInfo(build_csr(key, self._subject, self._dns_names), key)

    def _forced(self) -> bool:
        # The text "False" is not false by itself (S10 in docs/promises.md).
        return self._config.get("ForceRenewal", "").strip().lower() == "true"
