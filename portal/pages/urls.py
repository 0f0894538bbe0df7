"""Paths of the pages. None ends in a slash: there are no redirects that add one."""

from __future__ import annotations

from django.urls import path

from portal.pages import (
    account,
    acts,
    add_orchestrator,
    application_settings,
    approvals,
    audit,
    auto_registration,
    auto_registration_try,
    bulk,
    certificates,
    home,
    issuers,
    orchestrators,
)

urlpatterns = [
    path("", home.home, name="home"),
    path("sign-in", account.sign_in, name="sign_in"),
    path("sign-out", account.sign_out, name="sign_out"),
    path("account", account.account, name="account"),
    path("account/password", account.change_password, name="change_password"),
    path("theme", account.theme, name="theme"),
    path("orchestrators", orchestrators.index, name="orchestrators"),
    path("orchestrators/act", acts.confirm, name="act"),
    path("orchestrators/act/perform", acts.perform, name="act_perform"),
    path("orchestrators/act/result", acts.result, name="act_result"),
    path("orchestrators/all/preview", bulk.preview, name="bulk_preview"),
    path("orchestrators/all/submit", bulk.submit, name="bulk_submit"),
    path("jobs", bulk.jobs, name="bulk_jobs"),
    path("jobs/<int:pk>", bulk.job, name="bulk_job"),
    path("jobs/<int:pk>/cancel", bulk.cancel, name="bulk_cancel"),
    path("jobs/<int:pk>/retry", bulk.retry, name="bulk_retry"),
    path("orchestrators/add", add_orchestrator.add, name="add_orchestrator"),
    path("orchestrators/add/portal-ca.pem", add_orchestrator.ca_file, name="ca_file"),
    path(
        "orchestrators/add/credentials/<int:pk>/revoke",
        add_orchestrator.revoke,
        name="revoke_credential",
    ),
    path("orchestrators/auto-registration", auto_registration.index, name="auto_registration"),
    path(
        "orchestrators/auto-registration/add", auto_registration.add, name="auto_registration_add"
    ),
    path(
        "orchestrators/auto-registration/try",
        auto_registration_try.attempt,
        name="auto_registration_try",
    ),
    path(
        "orchestrators/auto-registration/<int:pk>",
        auto_registration.edit,
        name="auto_registration_rule",
    ),
    path(
        "orchestrators/auto-registration/<int:pk>/move",
        auto_registration.move,
        name="auto_registration_move",
    ),
    path(
        "orchestrators/auto-registration/<int:pk>/switch",
        auto_registration.switch,
        name="auto_registration_switch",
    ),
    path(
        "orchestrators/auto-registration/<int:pk>/delete",
        auto_registration.delete,
        name="auto_registration_delete",
    ),
    path("orchestrators/<uuid:pk>", orchestrators.detail, name="orchestrator"),
    path("orchestrators/<uuid:pk>/names", orchestrators.set_names, name="set_names"),
    path("orchestrators/<uuid:pk>/accept-name", orchestrators.accept_name, name="accept_name"),
    path("orchestrators/<uuid:pk>/logs", orchestrators.request_logs, name="request_logs"),
    path("orchestrators/<uuid:pk>/logs/<uuid:job_id>", orchestrators.log, name="job_log"),
    path("approvals", approvals.index, name="approvals"),
    path("approvals/preview", approvals.preview, name="approvals_preview"),
    path("approvals/decide", approvals.decide_several, name="approvals_decide"),
    path("approvals/<int:pk>", approvals.detail, name="approval"),
    path("approvals/<int:pk>/decide", approvals.decide, name="approval_decide"),
    path("approvals/<int:pk>/comments", approvals.comment, name="approval_comment"),
    path("certificates", certificates.index, name="certificates"),
    path("certificates/from-csr", certificates.from_csr, name="certificate_from_csr"),
    path("certificates/<int:pk>", certificates.detail, name="certificate"),
    path(
        "certificates/<int:pk>.pem",
        certificates.download,
        {"form": "pem"},
        name="certificate_pem",
    ),
    path(
        "certificates/<int:pk>.cer",
        certificates.download,
        {"form": "der"},
        name="certificate_der",
    ),
    path("authorities", issuers.authorities, name="authorities"),
    path("trusted-issuers", issuers.trusted_issuers, name="trusted_issuers"),
    path("trusted-issuers/<int:pk>/remove", issuers.remove_issuer, name="remove_issuer"),
    path("settings", application_settings.index, name="settings"),
    path("settings/<str:name>", application_settings.edit, name="setting"),
    path("audit", audit.index, name="audit"),
]
