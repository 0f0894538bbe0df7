"""Which processes one installation consists of, and with which environment each runs.

Owns the command lines. The order of start and stop is the supervisor's.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from portal.conf import ROOT, PortalConfig
from portal.runtime import broker
from portal.runtime.children import Plan

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Options:
    """What ``manage.py run_portal`` was asked for."""

    data_dir: Path
    pages_port: int
    agents_port: int
    with_demonstration: bool

    @property
    def pages_url(self) -> str:
        return f"http://{HOST}:{self.pages_port}"

    @property
    def agents_url(self) -> str:
        return f"https://{HOST}:{self.agents_port}"


def environment(options: Options, given: Mapping[str, str]) -> dict[str, str]:
    """Return what every process of this installation has in its environment.

    What the operator has set stays; cookies need no TLS on loopback, where the pages are.
    """
    return {
        "PORTAL_PUBLIC_URL": options.pages_url,
        "PORTAL_AGENT_URL": f"{options.agents_url}/KeyfactorAgents",
        "PORTAL_SECURE_COOKIES": "off",
        **{name: value for name, value in given.items() if value},
        "PORTAL_DATA_DIR": str(options.data_dir),
    }


def broker_plan(config: PortalConfig) -> Plan | None:
    """Return the embedded broker, or nothing if REDIS_URL names another."""
    if config.redis_url:
        return None
    return Plan(
        "broker",
        broker.command(config),
        discard=lambda: shutil.rmtree(config.data_dir / "broker" / "appendonlydir"),
    )


def portal_plans(config: PortalConfig, options: Options) -> list[Plan]:
    """Return the web processes, the worker and beat."""
    python = sys.executable
    celery = [python, "-m", "celery", "--app", "portal.celery", "--quiet"]
    return [
        Plan(
            "pages",
            [python, "-m", "gunicorn", "-c", "python:portal.runtime.gunicorn_pages"],
            {
                "PORTAL_EDGE": "pages",
                "PORTAL_CLIENT_CERTIFICATE_SOURCE": "none",
                "PORTAL_BIND": f"{HOST}:{options.pages_port}",
            },
        ),
        Plan(
            "agents",
            [python, "-m", "gunicorn", "-c", "python:portal.runtime.gunicorn_agents"],
            {
                "PORTAL_EDGE": "agents",
                "PORTAL_CLIENT_CERTIFICATE_SOURCE": "socket",
                "PORTAL_BIND": f"{HOST}:{options.agents_port}",
            },
        ),
        Plan(
            "worker",
            [
                *(*celery, "worker", "--pool", "threads", "--concurrency", "16"),
                *("--without-gossip", "--without-mingle", "--loglevel", "WARNING"),
            ],
            # Messages are JSON and hold a row id: no reason to warn root about pickles.
            {"PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges"},
        ),
        Plan(
            "beat",
            [
                *(*celery, "beat", "--loglevel", "WARNING", "--pidfile", ""),
                *("--schedule", str(config.data_dir / "beat-schedule")),
            ],
        ),
    ]


def demonstration_plan() -> Plan:
    """Return the small fleet of reference orchestrators that makes the first page alive."""
    return Plan(
        "demonstration",
        [sys.executable, str(ROOT / "manage.py"), "demonstration_fleet"],
        stays=False,
    )
