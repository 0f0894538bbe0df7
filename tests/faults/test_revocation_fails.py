"""The old certificate cannot be revoked: the session stands, and the failure is seen (F22, S46,
S49).
"""

from __future__ import annotations

from tests.faults.agents import Agent, Key
from tests.faults.site import Site
from tests.services.processes import wait_until


def _renewed(site: Site, agent: Agent) -> str:
    """Renew and register with the new certificate; return the old serial number."""
    key, old = Key(), agent.serial
    certificate = site.gets_certificate(agent, key).certificate
    assert certificate is not None
    agent.install(key.private, certificate)
    first = agent.register()
    assert first.summary == (200, 1, "", True)
    assert agent.is_alive(first.token)
    record = site.rows.record(agent.name)
    assert (record["thumbprint"], record["legacy_thumbprint"]) == (agent.thumbprint, "")
    return old


def _wait_for_attempt(site: Site, agent: Agent, attempts: int) -> dict[str, object]:
    wait_until(
        lambda: site.rows.revocations(agent.name)[-1]["attempts"] >= attempts,
        f"attempt {attempts} to revoke",
    )
    return site.rows.revocations(agent.name)[-1]


def test_a_revocation_that_fails_for_a_while_is_tried_again_until_it_is_done(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(revoke="down")
    agent = site.agent("plain")
    old = _renewed(site, agent)
    row = _wait_for_attempt(site, agent, 1)
    assert (row["state"], row["serial"]) == ("waiting", old)
    assert "the test's CA is down" in str(row["last_error"])
    assert str(row["next_attempt_at"]) > str(site.rows.record(agent.name)["last_seen"])
    # The portal itself refuses the old one from the promotion on, whatever its CA says.
    former = site.stranger(agent.name)
    former.agent_id = agent.agent_id
    former.present(site.folder / f"{agent.name}-{old}.pem")
    assert former.register().summary == (200, 3, "A01F0007", False)

    ledger.tell(revoke="cut off")
    site.try_revocations()
    assert _wait_for_attempt(site, agent, 2)["state"] == "waiting"
    ledger.tell()
    site.settle_revocations()
    assert site.rows.revocations(agent.name)[-1]["state"] == "done"
    assert [line["reason"] for line in ledger.lines("revoked", serial=old)] == ["superseded"]
    assert agent.register().summary == (200, 1, "", True)


def test_a_certificate_that_is_revoked_already_counts_as_revoked(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(revoke="already")
    agent = site.agent("plain")
    _renewed(site, agent)
    site.settle_revocations()
    assert site.rows.revocations(agent.name)[-1]["state"] == "done"


def test_a_revocation_that_the_ca_refuses_is_an_operators_matter(site: Site) -> None:
    ledger = site.use("plain")
    ledger.tell(revoke="refuse")
    agent = site.agent("plain")
    _renewed(site, agent)
    row = _wait_for_attempt(site, agent, 1)
    assert row["state"] == "failed"
    assert "does not know this certificate" in str(row["last_error"])
    assert site.rows.audited(agent.name, "revocation_failed") == ["revocation_failed"]
    ledger.tell()
    # A failed one is tried again after a day: somebody may have mended its cause.
    site.try_revocations()
    wait_until(
        lambda: site.rows.revocations(agent.name)[-1]["state"] == "done", "it is revoked after all"
    )


def test_a_missing_permission_to_revoke_is_named_and_the_renewal_stands(site: Site) -> None:
    ledger = site.use("plain")
    account = "may-enrol-and-not-revoke"
    site.terminal("user", "--username", account, "--service-account")
    for permission in ("enroll_csr", "certificates_read"):
        site.rows(
            "INSERT INTO access_user_user_permissions (user_id, permission_id)"
            " SELECT u.id, p.id FROM access_user u, auth_permission p"
            " WHERE u.username = ? AND p.codename = ?",
            account,
            permission,
        )
    agent = site.agent("plain", account=account)
    old = _renewed(site, agent)
    row = _wait_for_attempt(site, agent, 1)
    assert row["state"] == "failed"
    assert "/certificates/collections/revoke/" in str(row["last_error"])
    assert not ledger.lines("revocation asked", serial=old)
    assert agent.register().summary == (200, 1, "", True)

    site.terminal("user", "--username", account, "--service-account", "--role", "Orchestrator")
    site.try_revocations()
    wait_until(
        lambda: site.rows.revocations(agent.name)[-1]["state"] == "done",
        "with the permission it is revoked",
    )


def test_with_the_setting_off_at_the_switch_nothing_is_revoked_later(site: Site) -> None:
    ledger = site.use("plain")
    site.setting("RevokeOldClientAuthCertificate", "false")
    agent = site.agent("plain")
    old = _renewed(site, agent)
    site.setting("RevokeOldClientAuthCertificate", "true")
    assert agent.register().summary == (200, 1, "", True)
    site.settle_revocations()
    assert site.rows.revocations(agent.name) == []
    assert not ledger.lines("revocation asked", serial=old)
