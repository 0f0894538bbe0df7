"""``manage.py run_portal``: sets up and runs the whole portal on this host, in the foreground.

Owns the command's flags and what it tells the operator. Each flag wins over its environment
variable; Ctrl-C stops every process; running it again keeps the data.
"""

from __future__ import annotations

import os
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import get_commands
from django.core.management.base import BaseCommand
from django.db import connections

from portal.conf import ROOT, PortalConfig
from portal.runtime import plan, set_up
from portal.runtime.addresses import is_free
from portal.runtime.broker import BrokerUnavailable
from portal.runtime.installation import AlreadyRunning, end_leftovers, locked
from portal.runtime.supervisor import NotReady, Supervisor, answers


class Command(BaseCommand):
    """Run the portal with everything that it needs."""

    help = "Sets up and runs the portal: pages, agents' port, worker, schedule, broker."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--pages-port", type=_port, default=os.environ.get("PORTAL_PAGES_PORT", "8000")
        )
        parser.add_argument(
            "--agents-port", type=_port, default=os.environ.get("PORTAL_AGENTS_PORT", "8443")
        )
        parser.add_argument("--data-dir", type=Path, help="default: PORTAL_DATA_DIR, else var/")
        parser.add_argument(
            "--no-demo",
            action="store_true",
            default=os.environ.get("DEMO", "1") == "0",
            help="without the demonstration fleet (also: DEMO=0)",
        )

    def handle(self, **flags: Any) -> None:
        # Whatever the data folder's own mode: nobody else reads keys or the database.
        os.umask(0o077)
        config: PortalConfig = settings.CONFIG
        options = plan.Options(
            data_dir=(flags["data_dir"] or config.data_dir).absolute(),
            pages_port=flags["pages_port"],
            agents_port=flags["agents_port"],
            with_demonstration=not flags["no_demo"],
        )
        wanted = plan.environment(options, os.environ)
        if any(os.environ.get(name) != value for name, value in wanted.items()):
            # Settings were read before the flags: begin again with both agreeing.
            os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **wanted})  # noqa: S606
        try:
            with locked(config.data_dir):
                self._run(config, options)
        except (AlreadyRunning, BrokerUnavailable, NotReady) as error:
            self._fail(str(error))
        except KeyboardInterrupt:
            sys.exit(130)

    def _run(self, config: PortalConfig, options: plan.Options) -> None:
        for name in end_leftovers(config.data_dir):
            self._say(f"Ended {name}, left over from a crash.")
        if options.pages_port == options.agents_port:
            self._fail(
                f"Pages and agents cannot share port {options.pages_port}: give --pages-port and "
                "--agents-port two different ones."
            )
        for flag, port in (
            ("--pages-port", options.pages_port),
            ("--agents-port", options.agents_port),
        ):
            if not is_free(plan.HOST, port):
                self._fail(
                    f"Port {port} is in use by another program; stop it or choose another port "
                    f"with {flag}."
                )
        for database in config.data_dir.glob("portal.sqlite3*"):
            database.chmod(0o600)
        broker = plan.broker_plan(config)
        made = set_up.run(config, self._say)
        connections.close_all()
        supervisor = Supervisor(config.data_dir, self._say)
        supervisor.install_signal_handlers()
        try:
            if broker:
                supervisor.start([broker])
            supervisor.start(plan.portal_plans(config, options))
            supervisor.wait_until(lambda: answers(plan.HOST, options.pages_port), "The pages' port")
            supervisor.wait_until(
                lambda: answers(plan.HOST, options.agents_port, config.ca_file),
                "The agents' port",
            )
            if not supervisor.is_stopping:
                self._tell(config, options, made)
                if options.with_demonstration and "demonstration_fleet" in get_commands():
                    supervisor.start([plan.demonstration_plan()])
            supervisor.run()
        finally:
            self._say("Stopping …")
            supervisor.stop()
            if config.run_dir.parent != config.data_dir:
                # A short path in /tmp stood in for a long one; nothing else would remove it.
                shutil.rmtree(config.run_dir, ignore_errors=True)

    def _tell(self, config: PortalConfig, options: plan.Options, made: set_up.Made) -> None:
        manage = f"PORTAL_DATA_DIR={config.data_dir} {sys.executable} {ROOT / 'manage.py'}"
        lines = [
            "",
            "Orchestrator Certificate Portal is running. Ctrl-C stops it; its data stays.",
            f"  Pages           {options.pages_url}",
            f"  Agent protocol  {options.agents_url}/KeyfactorAgents",
            f"  REST API        {options.agents_url}/KeyfactorAPI",
            f"                  {options.pages_url}/KeyfactorAPI",
            f"  CA file         {config.ca_file}",
            f"  Data            {config.data_dir}",
        ]
        if made.first_password:
            lines.append(f"  Sign in as      {made.administrator}")
            lines.append(f"  Password        {made.first_password}   (shown once)")
        lines.append(f"  New password    {manage} changepassword {made.administrator}")
        self._say("\n".join([*lines, ""]))

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _fail(self, sentence: str) -> NoReturn:
        self.stderr.write(sentence)
        sys.exit(1)


def _port(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 65535:
        raise ArgumentTypeError(f"{value!r} is no port: a number from 1 to 65535")
    return int(value)
