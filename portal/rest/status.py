"""GET /Status/Endpoints, with which existing clients try their credentials, and unknown paths."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from django.http import Http404
from rest_framework.request import Request
from rest_framework.response import Response

from portal.access.permissions import holds
from portal.rest.base import ApiView

PRODUCT_VERSION_HEADER = "x-keyfactor-product-version"
PRODUCT_VERSION = "10.5.0.0"
"""The level of the API that existing clients assume when a server does not say."""

OWN_PATH = "GET /Status/Endpoints"
_CONVERTER = re.compile(r"<str:\w*id>")


class StatusEndpoints(ApiView):
    """The endpoints that the caller may use, as ``METHOD /Path``."""

    needs = {"GET": None}
    endpoints: ClassVar[Sequence[tuple[str, type[ApiView]]]] = ()

    def get(self, request: Request) -> Response:
        usable = {
            f"{method} /{_CONVERTER.sub('{id}', route)}"
            for route, view in self.endpoints
            for method in view.needs
            if all(holds(request.user, needed) for needed in view.needed(method))
        }
        return Response(
            sorted({*usable, OWN_PATH}), headers={PRODUCT_VERSION_HEADER: PRODUCT_VERSION}
        )


class UnknownEndpoint(ApiView):
    """Any other path: JSON 404 for everybody, whatever the method and headers."""

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        raise Http404
