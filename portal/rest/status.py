"""GET /Status/Endpoints, by which existing clients try their credentials, health, licence, unknown
paths.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, TypedDict

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from portal.rest.base import ApiView

PRODUCT_VERSION_HEADER = "x-keyfactor-product-version"
PRODUCT_VERSION = "10.5.0.0"
"""The level of the API that existing clients assume when a server does not say."""

OWN_PATH = "GET /Status/Endpoints"
_ID = re.compile(r"<str:\w*id>")
_OTHER = re.compile(r"<str:(\w+)>")


def documented(route: str) -> str:
    """Return a route as clients write it."""
    return _OTHER.sub(r"{\1}", _ID.sub("{id}", route))


class StatusEndpoints(ApiView):
    """The endpoints that the caller may use, as ``METHOD /Path``."""

    needs = {"GET": None}
    summaries = {"GET": "The endpoints that the caller may use"}
    returns = {"GET": list[str]}
    endpoints: ClassVar[Sequence[tuple[str, type[ApiView]]]] = ()

    def get(self, request: Request) -> Response:
        usable = {
            f"{method} /{documented(route)}"
            for route, view in self.endpoints
            for method in view.needs
            if view.serves(request.user, method)
        }
        return Response(
            sorted({*usable, OWN_PATH}), headers={PRODUCT_VERSION_HEADER: PRODUCT_VERSION}
        )


class HealthCheck(ApiView):
    """GET /Status/HealthCheck: nothing, once the sign-in had its answer from the database."""

    needs = {"GET": None}

    def get(self, request: Request) -> Response:
        return Response(status=204)


class LicenseCustomer(TypedDict):
    """Nobody in particular."""

    Name: str
    Id: str


class LicenseData(TypedDict):
    """The portal's licence: it neither ends nor counts."""

    LicenseId: str
    Customer: LicenseCustomer
    LicensedProducts: list[dict[str, str]]


class LicenseResponse(TypedDict):
    """The level of the API, and the licence."""

    KeyfactorVersion: str
    LicenseData: LicenseData


class License(ApiView):
    """GET /License: the level of the API that clients may assume, and the portal's licence."""

    needs = {"GET": None}
    returns = {"GET": LicenseResponse}

    def get(self, request: Request) -> Response:
        told: LicenseResponse = {
            "KeyfactorVersion": PRODUCT_VERSION,
            "LicenseData": {
                "LicenseId": "Apache-2.0",
                "Customer": {"Name": "", "Id": ""},
                "LicensedProducts": [],
            },
        }
        return Response(told)


class UnknownEndpoint(ApiView):
    """Any other path: JSON 404 for everybody, whatever the method and headers."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404
