"""Certificate authorities, templates, trusted issuers, the server certificate, settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from portal.audit.models import AuditEntry
from renewal import issuers
from renewal.ca.local import LocalCA
from renewal.models import CertificateAuthority, RevocationList, Template, TrustAnchor
from renewal.x509.certificates import read_certificate
from tests import pki

pytestmark = pytest.mark.django_db

CREATE = ("certificate_authority", "--name", "local", "--create", "--trust")
Run = Callable[..., dict[str, Any]]
Refused = Callable[..., str]


def test_a_local_ca_is_made_once_trusted_and_has_a_crl(run: Run, data_dir: Path) -> None:
    first, second = run(*CREATE), run(*CREATE)

    assert first == {
        "changed": True,
        "name": "local",
        "type": "local",
        "options": {
            "directory": str(data_dir / "ca" / "local"),
            "crl_url": "http://127.0.0.1:8000/crl/local.crl",
            "issuer_url": "http://127.0.0.1:8000/crl/local.cer",
        },
        "hold_seconds": 25,
        "enabled": True,
        "allowed_requesters": [],
        "ca_file": str(data_dir / "tls" / "ca.pem"),
    }
    assert second == {**first, "changed": False}
    root = x509.load_pem_x509_certificate((data_dir / "tls" / "ca.pem").read_bytes())
    assert root.subject.rfc4514_string() == "CN=local Root CA"
    assert [(a.name, a.is_intermediate) for a in TrustAnchor.objects.order_by("pk")] == [
        ("local root", False),
        ("local issuing", True),
    ]
    assert (data_dir / "tls" / "trust-anchors.pem").read_text().count("BEGIN CERTIFICATE") == 2
    assert RevocationList.objects.get().number == 1


def test_the_passphrase_is_kept_encrypted_and_shown_nowhere(run: Run) -> None:
    answer = run(*CREATE)

    row = CertificateAuthority.objects.get()
    passphrase = issuers.open_secrets(row.encrypted_secrets)["passphrase"]
    seen = json.dumps([answer, row.options, list(AuditEntry.objects.values("before", "after"))])
    assert len(passphrase) >= 32
    assert passphrase not in seen + row.encrypted_secrets


def test_a_crash_after_the_row_is_mended_by_the_next_run(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(LocalCA, "create", crash)
        with pytest.raises(KeyboardInterrupt):
            run(*CREATE)
    assert not CertificateAuthority.objects.get().enabled

    assert run(*CREATE)["enabled"] is True
    assert run(*CREATE)["changed"] is False


def test_a_crash_after_the_folder_is_mended_by_the_next_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    whole = LocalCA.create

    def crash(*arguments: Any, **options: Any) -> None:
        whole(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(LocalCA, "create", crash)
        with pytest.raises(KeyboardInterrupt):
            run(*CREATE)
    root = (data_dir / "ca" / "local" / "root.pem").read_bytes()

    assert run(*CREATE)["enabled"] is True
    assert (data_dir / "ca" / "local" / "root.pem").read_bytes() == root


def test_a_ca_that_lost_its_folder_never_gets_new_keys(run: Run, data_dir: Path) -> None:
    run(*CREATE)
    (data_dir / "ca" / "local").rename(data_dir / "elsewhere")

    run("certificate_authority", "--name", "local", "--create")

    assert not (data_dir / "ca" / "local").exists()


def test_a_ca_is_changed_by_the_flags_that_are_given(run: Run) -> None:
    run(*CREATE)
    run("user", "--username", "agents", "--service-account")

    changed = run(
        *("certificate_authority", "--name", "local", "--hold-seconds", "5", "--disable"),
        *("--option", "issuer_url=http://ca.example/issuing.cer"),
        *("--allowed-requester", "agents"),
    )

    assert (changed["hold_seconds"], changed["enabled"]) == (5, False)
    assert set(changed["options"]) == {"directory", "crl_url", "issuer_url"}
    assert changed["allowed_requesters"] == ["agents"]
    flags = ("--enable", "--allowed-requester", "everybody")
    back = run("certificate_authority", "--name", "local", *flags)
    assert (back["enabled"], back["allowed_requesters"], back["hold_seconds"]) == (True, [], 5)


def test_a_ca_whose_folder_exists_is_taken_over_with_its_passphrase(
    run: Run, data_dir: Path
) -> None:
    run(*CREATE)
    passphrase = issuers.open_secrets(CertificateAuthority.objects.get().encrypted_secrets)
    flags = (
        *("certificate_authority", "--name", "second", "--secrets-stdin"),
        *("--option", f"directory={data_dir / 'ca' / 'local'}"),
    )

    first = run(*flags, stdin=json.dumps(passphrase))

    assert run(*flags, stdin=json.dumps(passphrase)) == {**first, "changed": False}


@pytest.mark.parametrize(
    ("flags", "stdin", "code"),
    [
        (["--name", "a/b", "--create"], "", "name_invalid"),
        (["--name", "日本", "--create"], "", "name_invalid"),
        (["--name", "", "--create"], "", "name_invalid"),
        (["--name", "new", "--create", "--key-type", "RSA-1024"], "", "usage"),
        (["--name", "new", "--create", "--hold-seconds", "301"], "", "usage"),
        (["--name", "new", "--create", "--option", "colour=blue"], "", "option_invalid"),
        (["--name", "new", "--create", "--option", "crl_url"], "", "option_invalid"),
        (
            ["--name", "new", "--create", "--option", "crl_url=file:///etc/passwd"],
            "",
            "authority_misconfigured",
        ),
        (["--name", "new", "--option", "passphrase=x"], "", "option_invalid"),
        (["--name", "new", "--secrets-stdin"], "no json", "secret_missing"),
        (["--name", "new", "--secrets-stdin"], '{"pin": 1}', "option_invalid"),
        (["--name", "new"], "", "authority_misconfigured"),
        (["--name", "new", "--type", "moon"], "", "authority_misconfigured"),
        (["--name", "Local", "--create"], "", "folder_exists"),
        (["--name", "new", "--create", "--allowed-requester", "nobody"], "", "unknown_user"),
    ],
)
def test_a_ca_that_cannot_be_is_refused_with_its_code(
    run: Run, refused: Refused, flags: list[str], stdin: str, code: str
) -> None:
    run(*CREATE)

    assert refused("certificate_authority", *flags, stdin=stdin) == code
    assert CertificateAuthority.objects.count() == 1


def test_a_template_is_made_once_with_defaults_that_renew(run: Run) -> None:
    first = run("template", "--name", "Orchestrator")

    assert run("template", "--name", "Orchestrator") == {**first, "changed": False}
    assert first["validity_seconds"] == 365 * 86400
    assert first["name_patterns"] == ["subject:CN=Client Certificate Authentication"]


def test_a_template_says_what_its_flags_say(run: Run) -> None:
    run("user", "--username", "agents", "--service-account")
    flags = (
        *("template", "--name", "short", "--key-type", "EC-P256", "--key-type", "RSA-3072"),
        *("--validity-seconds", "3600", "--backdate-seconds", "0", "--names-policy", "open"),
        *("--name-pattern", "dns:*.agents.example.com", "--eku", "clientAuth"),
        *("--eku", "1.3.6.1.5.5.7.3.17", "--allowed-requester", "agents"),
    )

    first = run(*flags)

    assert first == {
        "changed": True,
        "name": "short",
        "key_types": ["EC-P256", "RSA-3072"],
        "validity_seconds": 3600,
        "backdate_seconds": 0,
        "extended_key_usages": ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.17"],
        "names_policy": "open",
        "name_patterns": ["dns:*.agents.example.com"],
        "allowed_requesters": ["agents"],
    }
    assert run(*flags) == {**first, "changed": False}
    longer = run("template", "--name", "short", "--validity-days", "2", "--name-pattern", "")
    assert longer == {**first, "validity_seconds": 2 * 86400, "name_patterns": []}


def test_a_template_is_removed_once_and_not_while_it_is_chosen(
    run: Run, refused: Callable[..., str]
) -> None:
    remove = ("template", "--name", "short", "--remove")
    run(*remove[:3])
    run("setting", "--name", "TemplateForSubmittedCSRs", "--value", "short")
    assert refused(*remove) == "in_use"
    run("setting", "--name", "TemplateForSubmittedCSRs", "--default")
    assert run(*remove) == {"changed": True, "name": "short"}
    assert run(*remove) == {"changed": False, "name": "short"}


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--name", ""], "name_invalid"),
        (["--name", "t", "--key-type", "RSA-1024"], "key_type_invalid"),
        (["--name", "t", "--key-type", "RSA-2049"], "key_type_invalid"),
        (["--name", "t", "--key-type", ""], "key_type_invalid"),
        (["--name", "t", "--validity-seconds", "59"], "validity_invalid"),
        (["--name", "t", "--validity-days", "7321"], "usage"),
        (["--name", "t", "--validity-days", "1", "--validity-seconds", "60"], "usage"),
        (["--name", "t", "--backdate-seconds", "86401"], "usage"),
        (["--name", "t", "--names-policy", "none"], "usage"),
        (["--name", "t", "--name-pattern", "moon"], "name_pattern_invalid"),
        (["--name", "t", "--eku", "serverAuth"], "eku_invalid"),
        (["--name", "t", "--eku", "clientAuth", "--eku", "2.5.29.37.0"], "eku_invalid"),
        (["--name", "t", "--eku", "clientAuth", "--eku", "nonsense"], "eku_invalid"),
        (["--name", "t", "--allowed-requester", "nobody"], "unknown_user"),
    ],
)
def test_a_template_that_cannot_be_is_refused_with_its_code(
    refused: Refused, flags: list[str], code: str
) -> None:
    assert refused("template", *flags) == code
    assert not Template.objects.exists()


def test_an_issuer_is_trusted_listed_and_removed_each_once(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "root.pem"
    file.write_text(pki.pem(pki.root(), "CERTIFICATE"))
    add = ("trust_anchor", "--file", str(file), "--name", "Example")

    first = run(*add)

    assert run(*add) == {**first, "changed": False}
    assert (first["name"], first["trusted"], first["intermediate"]) == ("Example", True, False)
    assert [a["name"] for a in run("trust_anchor", "--list")["trust_anchors"]] == ["Example"]
    shouted = ":".join(first["fingerprint_sha256"].upper()[at : at + 2] for at in range(0, 64, 2))
    removed = run("trust_anchor", "--remove", shouted)
    assert (removed["changed"], removed["trusted"]) == (True, False)
    assert run("trust_anchor", "--remove", shouted) == {**removed, "changed": False}
    assert run(*add)["trusted"] is True


def test_the_issuers_of_a_ca_of_this_portal_are_trusted_by_its_name(run: Run) -> None:
    run("certificate_authority", "--name", "local", "--create")
    assert not TrustAnchor.objects.exists()

    assert run("trust_anchor", "--authority", "local")["changed"] is True
    assert run("trust_anchor", "--authority", "local")["changed"] is False
    assert TrustAnchor.objects.count() == 2


def test_the_file_of_issuers_is_written_again_when_it_is_lost(run: Run, data_dir: Path) -> None:
    run(*CREATE)
    assert run("export_trust_anchors")["changed"] is False
    (data_dir / "tls" / "trust-anchors.pem").unlink()

    assert run("export_trust_anchors") == {
        "changed": True,
        "file": str(data_dir / "tls" / "trust-anchors.pem"),
    }


@pytest.mark.parametrize(
    ("content", "flags", "code"),
    [
        (pki.certificate(), [], "trust_anchor_refused"),
        (b"moon", [], "trust_anchor_refused"),
        (b"x" * 70_000, [], "file"),
        (pki.root(), ["--name", "n" * 201], "trust_anchor_refused"),
        (pki.root(), ["--list"], "usage"),
    ],
)
def test_an_issuer_that_cannot_be_trusted_is_refused_with_its_code(
    refused: Refused, tmp_path: Path, content: bytes, flags: list[str], code: str
) -> None:
    file = tmp_path / "issuer"
    file.write_bytes(content)

    assert refused("trust_anchor", "--file", str(file), *flags) == code
    assert not TrustAnchor.objects.exists()


def test_an_unknown_issuer_cannot_be_removed(refused: Refused) -> None:
    assert refused("trust_anchor", "--remove", "00") == "unknown_trust_anchor"
    assert refused("trust_anchor", "--authority", "none") == "unknown_authority"


def test_the_server_certificate_is_made_once_and_grows_with_its_names(
    run: Run, set_up: None, data_dir: Path
) -> None:
    flags = ("server_certificate", "--authority", "local", "--name", "127.0.0.1")

    first = run(*flags, "--name", "LOCALHOST.")

    assert first["names"] == ["127.0.0.1", "localhost"]
    assert run(*flags) == {**first, "changed": False}
    assert run(*flags, "--name", "portal.example")["names"] == [
        *("127.0.0.1", "portal.example", "localhost")
    ]
    assert (data_dir / "tls" / "server.key").stat().st_mode & 0o777 == 0o600


def test_the_ca_file_follows_the_ca_of_the_server_certificate(
    run: Run, set_up: None, data_dir: Path
) -> None:
    run("certificate_authority", "--name", "other", "--create", "--trust")
    assert read_certificate((data_dir / "tls" / "ca.pem").read_bytes()).common_name == (
        "local Root CA"
    )

    run("server_certificate", "--authority", "other", "--name", "portal.example")

    assert read_certificate((data_dir / "tls" / "ca.pem").read_bytes()).common_name == (
        "other Root CA"
    )


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--authority", "none", "--name", "a"], "unknown_authority"),
        (["--authority", "local", "--name", "a b"], "name_invalid"),
        (["--authority", "local", "--name", "*.example.com"], "name_invalid"),
        (["--authority", "local"], "usage"),
    ],
)
def test_a_server_certificate_that_cannot_be_is_refused_with_its_code(
    refused: Refused, set_up: None, data_dir: Path, flags: list[str], code: str
) -> None:
    assert refused("server_certificate", *flags) == code
    assert not (data_dir / "tls" / "server.pem").exists()


def test_a_setting_is_shown_changed_once_kept_and_put_back(run: Run) -> None:
    name = ("setting", "--name", "SessionLengthMinutes")

    shown = run(*name)

    assert (shown["changed"], shown["value"], shown["default"]) == (False, "1380", "1380")
    changed = run(*name, "--value", "600")
    assert changed == {**shown, "changed": True, "value": "600"}
    assert run(*name, "--value", "600") == {**changed, "changed": False}
    assert run(*name, "--value", "700", "--if-unset") == {**changed, "changed": False}
    assert run(*name, "--default")["value"] == "1380"
    assert run(*name, "--default")["changed"] is False
    listed = run("setting", "--list")["settings"]
    assert "TrustAnchorsRevision" not in {setting["name"] for setting in listed}


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--name", "Moon", "--value", "1"], "unknown_setting"),
        (["--name", "TrustAnchorsRevision", "--value", "1"], "unknown_setting"),
        (["--name", "SessionLengthMinutes", "--value", "long"], "setting_invalid"),
        (["--name", "ClientCertificateExpiryDays", "--value", "180"], "setting_invalid"),
        (["--name", "CertificateAuthorityForSubmittedCSRs", "--value", "moon"], "setting_invalid"),
        (["--name", "SessionLengthMinutes", "--value", "60", "--default"], "usage"),
        ([], "usage"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_its_code(
    refused: Refused, flags: list[str], code: str
) -> None:
    assert refused("setting", *flags) == code
