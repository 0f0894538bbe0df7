"""The agent protocol's fixed terms: statuses, platforms, capabilities. PURE.

Numbers, names and GUIDs are those that existing agents send and dispatch on.
"""

from __future__ import annotations

from enum import IntEnum


class ResultStatus(IntEnum):
    """AgentApiResultStatus."""

    UNKNOWN = 0
    SUCCESS = 1
    WARNING = 2
    ERROR = 3


class AgentPlatform(IntEnum):
    """AgentPlatform as sent on the wire and shown by the REST API."""

    UNKNOWN = 0
    DOTNET = 1
    JAVA = 2
    MAC = 3
    ANDROID = 4
    NATIVE = 5
    BASH = 6
    UNIVERSAL = 7


class Capability:
    """Names and GUIDs of capabilities; agents register by either and dispatch on GUIDs."""

    FETCH_LOGS = "Custom.FetchLogs"
    GUIDS: dict[str, str] = {
        "CertStores.PEM.Inventory": "a809ce1f-1eea-4738-a38e-15708c89c981",
        "CertStores.PEM.Management": "1d411b36-ae72-433f-9f3f-8593e836a1af",
        "CertStores.PEM.Reenrollment": "aa015d10-cffc-41f7-a9a4-c9615f6f3bdf",
        FETCH_LOGS: "0D8CF0C8-56CA-4B8A-B16A-C062018E170D",
        "CertStores.PEM.Discovery": "e98151de-53ad-4b99-b52a-f37118ec0c5c",
        "CertStores.AWS.Inventory": "afb8c78d-1436-4c93-a8e7-0218c2cb6955",
        "CertStores.AWS.Management": "56c1e4f9-366c-44b3-8cae-1b8f39e2026c",
        "CertStores.F5.Inventory": "9b04e8de-e2ce-4a50-bd3f-31037d3ee751",
        "CertStores.F5.Management": "e9a34338-c99f-46da-94d2-4f97dc6943af",
        "CertStores.FTP.Inventory": "76f99194-c129-4954-b76e-11c80816643e",
        "CertStores.FTP.Management": "4ae72d54-7f91-4359-9da5-e1f633031070",
        "CertStores.IIS.Inventory": "5b9cf048-e95f-4331-a510-0cdfabac1703",
        "CertStores.IIS.Management": "ce2325e3-801c-4576-9b0a-5fdcaf66aa88",
        "CertStores.IIS.Reenrollment": "b80019d6-df3d-4a8c-9e60-1977b806f545",
        "CertStores.JKS.Discovery": "74d9f7c5-b2ac-4f21-a72b-29b5adc90651",
        "CertStores.JKS.Inventory": "67b63010-d738-47c3-87a2-9f289466c881",
        "CertStores.JKS.Management": "b614f9e2-c56b-421c-b548-03d42eb32f8a",
        "CertStores.JKS.Reenrollment": "48743e90-108e-4dc3-b81c-7fb830215d1f",
        "CertStores.NS.Inventory": "78ff1c19-893f-4e5e-90a5-0459f1823778",
        "CertStores.NS.Management": "b7c94ad1-8a33-45ea-98b3-d77ca14e7830",
    }
    _BY_GUID = {guid.lower(): name for name, guid in GUIDS.items()}

    @classmethod
    def name_of(cls, value: str) -> str:
        """Return the capability's name for a name or a known GUID; unknown values unchanged."""
        return cls._BY_GUID.get(value.strip().lower(), value.strip())
