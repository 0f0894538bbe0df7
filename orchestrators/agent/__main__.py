"""The command: ``python -m orchestrators.agent [run options]`` and ``… init …``.

Owns the command line, the wiring of the parts and the exit status. See docs/orchestrator.md.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from orchestrators.agent import logs
from orchestrators.agent.client import Portal
from orchestrators.agent.extension import ExtensionError
from orchestrators.agent.home import Home, HomeInUseError, default_home
from orchestrators.agent.install import recover
from orchestrators.agent.jobs import JobRunner
from orchestrators.agent.journal import JournalError
from orchestrators.agent.loop import Outcome
from orchestrators.agent.manifest import ManifestError
from orchestrators.agent.service import Timing, attempt, serve
from orchestrators.agent.session import Orchestrator
from orchestrators.agent.settings import Settings, SettingsError, read_settings
from orchestrators.agent.setup import (
    Bootstrap,
    NewHome,
    PemFiles,
    Pkcs12File,
    Start,
    WindowsCertificate,
    initialize,
)
from orchestrators.agent.store import StoreError
from orchestrators.agent.updater import load_updater
from orchestrators.agent.version import VERSION
from orchestrators.agent.windows import PowerShellStores

log = logging.getLogger("Keyfactor.Orchestrators.Agent")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    os.umask(0o077)
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:1] == ["init"]:
            return _init(_init_parser().parse_args(given[1:]))
        return _run(_run_parser().parse_args(given))
    except HomeInUseError as error:
        log.error("%s", error)
        return Outcome.HOME_IN_USE
    except ExtensionError as error:
        log.error("%s", error)
        return Outcome.EXTENSION
    except (SettingsError, StoreError, ManifestError, JournalError, OSError) as error:
        log.error("%s", error)
        return Outcome.CONFIGURATION


def _run(options: argparse.Namespace) -> int:
    home = Home(options.home.resolve())
    log_tail = logs.configure(options.log_file, logging.DEBUG if options.verbose else logging.INFO)
    if not home.configuration.is_dir():
        raise SettingsError(f"{home.configuration} does not exist; see 'init --help'")
    with home.locked():
        if recover(home):
            log.warning("An installation that had been cut short was finished")
        settings = read_settings(home)
        portal = Portal(settings.server_uri, _trust_store(home, settings))
        orchestrator = Orchestrator(
            home,
            portal,
            load_updater(home, settings),
            JobRunner(portal, log_tail),
            PowerShellStores() if sys.platform == "win32" else None,
        )
        if options.once:
            outcome = attempt(orchestrator)
            log.info("Pass ended: %s", outcome.name)
            return outcome
        timing = Timing(
            settings.orchestrator_name, options.heartbeat_seconds, options.retry_seconds
        )
        serve(orchestrator, timing, _stopped_by_signal())
        return Outcome.OK


def _trust_store(home: Home, settings: Settings) -> Path | None:
    """Return the file of trusted CAs, which OpenSSL can read. Raises SettingsError."""
    if not settings.trust_store:
        return None
    path = home.resolve(settings.trust_store)
    try:
        ssl.create_default_context(cafile=str(path))
    except OSError as error:
        raise SettingsError(
            f"TrustStore: {path} is not a file of PEM certificates that can be read "
            f"({error.strerror or type(error).__name__})"
        ) from error
    return path


def _init(options: argparse.Namespace) -> int:
    logs.configure(None)
    home = Home(options.home.resolve())
    initialize(
        home,
        NewHome(
            url=options.url,
            name=options.name,
            start=_start(options),
            ca_file=options.ca_file,
            orchestrator_id=options.orchestrator_id,
            updater=dict(options.updater),
        ),
        force=options.force,
    )
    print(home.configuration)
    return Outcome.OK


def _start(options: argparse.Namespace) -> Start:
    if options.auth_cert_thumbprint:
        return WindowsCertificate(options.auth_cert_thumbprint)
    if options.pem_cert:
        if not options.pem_key:
            raise SettingsError("--pem-cert needs --pem-key")
        return PemFiles(options.pem_cert, options.pem_key)
    # A password on the command line could be read by every user of this host.
    password = sys.stdin.readline().rstrip("\r\n")
    if options.pkcs12:
        return Pkcs12File(options.pkcs12, password)
    return Bootstrap(options.bootstrap_user, password)


def _stopped_by_signal() -> Event:
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _run_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrator",
        description="The reference orchestrator. 'init' as first word makes a new home.",
    )
    parser.add_argument("--version", action="version", version=VERSION)
    _add_home(parser)
    parser.add_argument("--once", action="store_true", help="one pass, then exit with its status")
    parser.add_argument("--log-file", type=Path, help="log here too (always to standard error)")
    parser.add_argument("--verbose", action="store_true", help="log details too")
    for name in ("--heartbeat-seconds", "--retry-seconds"):
        parser.add_argument(
            name, type=_positive, metavar="N", help="for tests and demonstrations: fixed interval"
        )
    return parser


def _init_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="orchestrator init", description="Make the home of an orchestrator."
    )
    _add_home(parser)
    parser.add_argument("--url", required=True, help="https://host[:port]/KeyfactorAgents")
    parser.add_argument("--name", required=True, help="name of the orchestrator")
    parser.add_argument("--ca-file", type=Path, help="PEM file of the portal's CA")
    parser.add_argument("--orchestrator-id", default="", help="its id, if the portal has it")
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--pkcs12", type=Path, help="its certificate; password on standard input")
    start.add_argument("--pem-cert", type=Path, help="its certificate, with --pem-key")
    start.add_argument(
        "--auth-cert-thumbprint", metavar="SHA1", help="its certificate in a Windows store"
    )
    start.add_argument("--bootstrap-user", help="no certificate yet; password on standard input")
    parser.add_argument("--pem-key", type=Path)
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="the password is the first line of standard input (there is no other way)",
    )
    parser.add_argument(
        "--updater",
        type=_assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="Subject, DnsSan, KeyType or ForceRenewal of the built-in registration updater",
    )
    parser.add_argument("--force", action="store_true", help="replace a present configuration")
    return parser


def _add_home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--home", type=Path, default=default_home(), help="folder of the orchestrator (%(default)s)"
    )


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return number


def _assignment(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return name, value


if __name__ == "__main__":
    sys.exit(main())
