"""The phone's page as it was built, under /phone/ (operation 2 in a browser). It calls /v1/relay of the same origin."""

import mimetypes

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

# What a system's own table may not have, or have otherwise.
for _type, _ending in (
    ("application/manifest+json", ".webmanifest"),
    ("text/javascript", ".js"),
    ("font/woff2", ".woff2"),
    ("image/svg+xml", ".svg"),
):
    mimetypes.add_type(_type, _ending)

_HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"manifest-src 'self'; worker-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"bluetooth=(self), camera=(), geolocation=(), microphone=()"),
]
_MISSING = "The phone's page is not built here. `python3 -m tools.setup phone` makes it, in build/phone.\n"


def phone_routes(folder):
    """Routes for a folder that need not be there yet."""

    def to_the_page(request):
        return RedirectResponse("/phone/", 308)

    async def page(scope, receive, send):
        if (folder / "index.html").is_file():
            await StaticFiles(directory=folder, html=True)(scope, receive, send)
        else:
            await PlainTextResponse(_MISSING, 404)(scope, receive, send)

    return [Route("/phone", to_the_page), Mount("/phone", page)]


def page_headers(path):
    """Headers for an answer by its path: the API's are not to be kept anywhere, a page is asked for again each time."""
    if not path.startswith("/phone/"):
        return [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
    # Under assets/ a name has a hash of what is in it.
    kept = b"public, max-age=31536000, immutable" if path.startswith("/phone/assets/") else b"no-cache"
    return [*_HEADERS, (b"cache-control", kept)]
