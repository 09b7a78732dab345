"""The page at `/`: three files of our own, served with a strict content policy; it uses the control API alone."""

from importlib.resources import files

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/sandbox/page/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/sandbox/page/views.js": ("views.js", "text/javascript; charset=utf-8"),
    "/sandbox/page/page.css": ("page.css", "text/css; charset=utf-8"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)


def file(path: str) -> tuple[bytes, str] | None:
    """Content and type of a file of the page; None when the path is not one."""
    found = _FILES.get(path)
    if found is None:
        return None
    name, kind = found
    return files("wechat_sandbox.page").joinpath(name).read_bytes(), kind
