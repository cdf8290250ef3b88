"""The shop with Django's ASGI handler, which has neither lifespan nor WebSocket."""

from __future__ import annotations

import hashlib

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from tests.frameworks.apps.pieces import numbered

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="of a test", ALLOWED_HOSTS=["*"], DEBUG=False, MIDDLEWARE=[])
django.setup()


async def item(request: HttpRequest, number: int) -> HttpResponse:
    return JsonResponse({"number": number, "q": request.GET.get("q"), "stock": 7})


def upload(request: HttpRequest) -> HttpResponse:  # not async: on a thread
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "sha": hashlib.sha256(file.read()).hexdigest()})


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(numbered(int(request.GET["count"])), content_type="text/plain")


async def fails(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("sold out")


urlpatterns = [
    path("items/<int:number>", item),
    path("upload", upload),
    path("stream", stream),
    path("fails", fails),
]
app = get_asgi_application()
