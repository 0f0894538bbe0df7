"""Registration updaters that are programs of any language.

Owns the contract with an external executable: one JSON object on standard input, one on standard
output, key and CSR in a private folder, within a time limit. docs/orchestrator.md describes it
for authors. Does not find the program; see ``extension.py`` and ``updater.py``.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509

from orchestrators.agent.extension import CsrInfo, ExtensionError, checked_parameters
from orchestrators.agent.keys import KeyMaterialError, load_key

PRIVATE_PREFIX = "extension-"
_ENVIRONMENT = ("PATH", "HOME", "LANG", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "USERPROFILE")
_SHOWN = 500

log = logging.getLogger("Keyfactor.Orchestrators.Agent.Extensions")


class ExecutableUpdater:
    """Runs ``program`` for each question."""

    def __init__(
        self, program: Path, config: Mapping[str, str], *, private_root: Path, timeout: float
    ) -> None:
        if not os.access(program, os.X_OK):
            raise ExtensionError(f"assembly '{program}' is not executable")
        self._program = program
        self._config = dict(config)
        self._private_root = private_root
        self._timeout = timeout
        answer = self._ask({"action": "describe"})
        self.version = str(answer.get("version", ""))
        self._parameters = checked_parameters(answer.get("clientParameters", {}), program.name)

    @property
    def client_parameters(self) -> Mapping[str, str]:
        """The parameters that the program stated when it was described."""
        return self._parameters

    def get_csr_info(self, new_certificate_requested_by_platform: bool) -> CsrInfo | None:
        """Let the program write key and CSR into a private folder, which is then removed."""
        with tempfile.TemporaryDirectory(prefix=PRIVATE_PREFIX, dir=self._private_root) as folder:
            key_file, csr_file = Path(folder) / "key.pem", Path(folder) / "request.pem"
            answer = self._ask(
                {
                    "action": "getCsrInfo",
                    "newCertificateRequestedByPlatform": new_certificate_requested_by_platform,
                    "keyFile": str(key_file),
                    "csrFile": str(csr_file),
                }
            )
            if answer.get("csr") is not True:
                return None
            try:
                return CsrInfo(_read_csr(csr_file), load_key(key_file.read_bytes()))
            except (OSError, ValueError, KeyMaterialError) as error:
                raise self._error(f"left no usable key and CSR: {error}") from error

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        output = self._run(json.dumps({**question, "config": self._config}).encode())
        try:
            answer = json.loads(output)
        except ValueError as error:
            raise self._error("did not answer with JSON on standard output") from error
        if not isinstance(answer, dict):
            raise self._error("did not answer with a JSON object")
        return answer

    def _run(self, question: bytes) -> bytes:
        try:
            process = subprocess.Popen(  # noqa: S603 - the program that the manifest names
                [str(self._program)],
                cwd=self._program.parent,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise self._error(f"cannot be started: {error}") from error
        with process:
            try:
                output, remarks = process.communicate(question, self._timeout)
            except subprocess.TimeoutExpired as error:
                _kill(process)
                raise self._error(f"did not answer within {self._timeout:g} s") from error
        if process.returncode:
            said = remarks.decode(errors="replace").strip()[-_SHOWN:]
            raise self._error(f"ended with status {process.returncode}: {said}")
        return output

    def _error(self, problem: str) -> ExtensionError:
        return ExtensionError(f"executable {self._program.name} {problem}")


def _read_csr(path: Path) -> x509.CertificateSigningRequest:
    content = path.read_bytes()
    if content.startswith(b"-----"):
        return x509.load_pem_x509_csr(content)
    return x509.load_der_x509_csr(content)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the program and, where the platform has process groups, its children."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
