"""Which registration updater is active.

Owns the choice between a Python class, an executable and the built-in updater. The three
themselves are in ``extension.py``, ``executable.py`` and ``builtin.py``.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from orchestrators.agent import builtin
from orchestrators.agent.builtin import BuiltInUpdater
from orchestrators.agent.executable import ExecutableUpdater
from orchestrators.agent.extension import (
    ExtensionError,
    LoadedUpdater,
    find_registrations,
    load_python,
    single,
    trusted_content,
)
from orchestrators.agent.home import Home
from orchestrators.agent.keys import KeyMaterialError
from orchestrators.agent.manifest import Registration
from orchestrators.agent.settings import Settings
from orchestrators.agent.version import VERSION

log = logging.getLogger("Keyfactor.Orchestrators.Agent.Extensions")

BUILT_IN_NAME = "built-in"


def load_updater(home: Home, settings: Settings) -> LoadedUpdater:
    """Return the one active updater. Raises ManifestError, ExtensionError."""
    found = single(find_registrations(home.resolve(settings.extensions_directory)))
    if found is None:
        loaded = _built_in(settings)
    else:
        loaded = _load(found, home, settings)
    log.info("Registration updater %s, SHA-256 %s", loaded.name, loaded.sha256)
    return loaded


def _built_in(settings: Settings) -> LoadedUpdater:
    try:
        updater = BuiltInUpdater(settings.updater, settings.orchestrator_name)
    except KeyMaterialError as error:
        raise ExtensionError(f"RegistrationUpdater: {error}") from error
    # The loader reads the source also from within a zipapp.
    source = builtin.__loader__.get_source(builtin.__name__)  # type: ignore[union-attr]
    digest = hashlib.sha256((source or "").encode()).hexdigest()
    return LoadedUpdater(BUILT_IN_NAME, VERSION, digest, settings.updater, updater)


def _load(found: Registration, home: Home, settings: Settings) -> LoadedUpdater:
    assembly = Path(found.assembly)
    if assembly.suffix.lower() in {".dll", ".py"}:
        return load_python(found, found.folder / assembly.with_suffix(".py"))
    program = found.folder / assembly
    digest = hashlib.sha256(trusted_content(program)).hexdigest()
    updater = ExecutableUpdater(
        program,
        found.config,
        private_root=home.configuration,
        timeout=settings.script_timeout,
    )
    return LoadedUpdater(found.type_full_name, updater.version, digest, found.config, updater)
