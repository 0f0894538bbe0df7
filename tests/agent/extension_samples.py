"""Extensions for tests: the source's manifest, the documented samples, a spy."""

from __future__ import annotations

import re
from pathlib import Path

from orchestrators.agent.home import Home
from orchestrators.agent.settings import Settings

DOCUMENT = (Path(__file__).parents[2] / "docs/orchestrator.md").read_text()
# The source's manifest, byte for byte.
MANIFEST = (
    '{ "extensions": { "Keyfactor.Orchestrators.Extensions.IOrchestratorRegistrationUpdater": '
    '{ "RegisteredRegistrationUpdater": { "assemblypath": "RegistrationUpdater.dll", '
    '"TypeFullName": "Custom.Registration.Updaters.CustomRegistrationUpdater", "config": '
    '{ "DnsSan": "orchestrator_name.keyexample.com", '
    '"Subject": "CN=Client Certificate Authentication", "DataCenter": "WestCoast", '
    '"ForceRenewal": "False" } } } } }'
)
SETTINGS = Settings("https://portal/KeyfactorAgents", "agent-1", cert_path="c.p12")
SPY = """
from orchestrators.agent.extension import CsrInfo
from orchestrators.agent.keys import build_csr, generate_key, common_name
NAMESPACE = "Custom.Registration.Updaters"
asked = []
class CustomRegistrationUpdater:
    client_parameters = {"DataCenter": "WestCoast"}
    def __init__(self, config):
        self.config = config
    def get_csr_info(self, new_certificate_requested_by_platform):
        asked.append(new_certificate_requested_by_platform)
        if not new_certificate_requested_by_platform:
            return None
        key = generate_key()
        return CsrInfo(build_csr(key, common_name("agent-1")), key)
"""


def sample(language: str) -> str:
    """The first code block of a language in the document."""
    found = re.search(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found[1]


def install(home: Home, code: str, manifest: str = MANIFEST, folder: str = "CertRotation") -> Path:
    place = home.root / "extensions" / folder
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(manifest)
    (place / "RegistrationUpdater.py").write_text(code)
    return place


def install_program(home: Home, code: str) -> Path:
    place = install(home, "", MANIFEST.replace("RegistrationUpdater.dll", "updater.sh"))
    program = place / "updater.sh"
    program.write_text(code)
    program.chmod(0o755)
    return program
