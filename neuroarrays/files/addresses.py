"""Addresses (URLs) as text: their parts, and which of these are secret.

Reading may need a signature, a token or a password. None of them may appear in a message, a name, a
pickle, a cache or the history of a saved file: everything that is shown or kept comes from
`without_secrets`.
"""

from __future__ import annotations

import base64
import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from neuroarrays.errors import MissingPath

#: The schemes of addresses that can be read.
KINDS = ("http", "https", "s3", "gs", "az", "dandi")
#: Parameters of a query that name a file or its version. Any other is treated as secret if its name
#: matches `_SECRET` or its value is longer than `_SHORT` characters.
_NAMES = {"versionid", "version", "generation", "path", "file", "filename", "name", "id"}
_SECRET = re.compile(
    r"sig|token|secret|cred|pass|key|auth|policy|expires|session|^x-|^s[a-z]$|^se$"
)
_SHORT = 24
#: Servers of DANDI's bucket.
_DANDI = ("dandiarchive.s3.amazonaws.com", "dandiarchive.s3.us-east-2.amazonaws.com")
#: Characters of a path that are not quoted.
_SAFE = "/!$&'()*+,;=:@~"


def kind_of(text: str) -> str:
    """Return the scheme of an address ("https", "s3", ...), or "" for a path.

    Raises
    ------
    MissingPath
        If the address has a scheme that cannot be read, or is malformed.
    """
    kind, separator, rest = text.partition("://")
    if re.match(rf"(?i:{'|'.join((*KINDS, 'file'))}):/[^/]", text):
        kind, _, rest = text.partition(":/")
        msg = (
            f"{kind}:/{_without_credentials(rest)}: expected an address with two slashes "
            f"({kind}://...), as text; pathlib.Path removes one"
        )
        raise MissingPath(msg)
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind):
        return ""
    kind = kind.lower()
    if kind not in (*KINDS, "file"):
        msg = (
            f"{kind}://{_without_credentials(rest)}: addresses of this kind cannot be read; "
            f"expected one of {', '.join(KINDS)}"
        )
        raise MissingPath(msg)
    if not rest.strip("/"):
        msg = f"{kind}://: the address has no server or name"
        raise MissingPath(msg)
    if kind in ("http", "https"):
        _check_server(kind, rest)
    elif kind in ("s3", "gs", "az") and "@" in rest.partition("/")[0]:
        msg = (
            f"{kind}://{_without_credentials(rest)}: credentials in the address of a bucket are "
            "not used; put them into the environment or profile of its service"
        )
        raise MissingPath(msg)
    return kind


def _check_server(kind: str, rest: str) -> None:
    """Refuse an http(s) address that has no server or no valid port."""
    try:
        parts = urlsplit(f"{kind}://{rest}")
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"[\s\x00-\x1f]", rest.partition("/")[0]):
        msg = (
            f"{kind}://{_without_credentials(rest)}: the address has no valid server and port; "
            "check it, and quote special characters of a password (/ as %2F, @ as %40)"
        )
        raise MissingPath(msg)


def _without_credentials(rest: str) -> str:
    """Return the part of a malformed address that may be shown: without user, password and query."""
    return rest.rpartition("@")[2].partition("?")[0]


def without_password(text: str) -> tuple[str, dict[str, str]]:
    """Split an http(s) address into one without user and password, and the request headers for them."""
    parts = urlsplit(text)
    user, separator, server = parts.netloc.rpartition("@")
    if not separator:
        return text, {}
    name, _, password = user.partition(":")
    pair = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return urlunsplit(parts._replace(netloc=server)), {"Authorization": f"Basic {pair}"}


def with_password(text: str, original: str) -> str:
    """Return a redirected address, with the original's user and password if the server is the same."""
    parts, original_parts = urlsplit(text), urlsplit(original)
    _, separator, server = original_parts.netloc.rpartition("@")
    if not separator or (parts.scheme, parts.netloc) != (original_parts.scheme, server):
        return text
    return urlunsplit(parts._replace(netloc=original_parts.netloc))


def dandi_address(text: str) -> str:
    """Return the ``dandi://`` address of a web page or asset of DANDI; any other address unchanged."""
    page = re.fullmatch(
        r"https://(?:www\.|gui\.)?dandiarchive\.org/(?:#/)?dandiset/(\d{6})(?:/([\w.]+))?/?"
        r"(?:files/?)?(?:\?(.*))?",
        text,
    )
    if page is not None:
        version = f"@{page[2]}" if page[2] and page[2] not in ("draft", "files") else ""
        inside = dict(parse_qsl(page[3] or "")).get("location", "").strip("/")
        return f"dandi://{page[1]}{version}/{inside}".rstrip("/")
    asset = re.fullmatch(
        r"https://api\.dandiarchive\.org/api/(?:dandisets/\d{6}/versions/[\w.]+/)?"
        r"assets/([0-9a-f-]{36})(?:/download)?/?",
        text,
    )
    return text if asset is None else f"dandi://asset/{asset[1]}"


def normalised(text: str) -> str:
    """Return an address that can be requested: scheme in lower case, an http(s) path percent-encoded.

    A "#" counts as part of a file's name, not as the beginning of a fragment. A path is unchanged.
    """
    kind, separator, rest = text.partition("://")
    if not separator:  # a path
        return text
    if kind.lower() not in ("http", "https"):
        return f"{kind.lower()}://{rest}"
    server_and_path, question, query = rest.partition("?")
    server, slash, path = server_and_path.partition("/")
    return f"{kind.lower()}://{server}{slash}{_quoted(path)}{question}{query}"


def without_secrets(text: str) -> str:
    """Return an address without its secrets, which still names the file; a path is unchanged."""
    text = normalised(text)
    if not text.startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    server = parts.netloc.rpartition("@")[2]
    query = urlencode([pair for pair in parse_qsl(parts.query) if _is_name(*pair)])
    return urlunsplit((parts.scheme, server, parts.path, query, ""))


def is_fixed(text: str) -> bool:
    """Return whether an address names one version of a file, so that its content never changes.

    Such an address has the version of an S3 object in its query, or is a blob of DANDI.
    """
    if not text.startswith(("http://", "https://")):
        return False
    parts = urlsplit(text)
    if any(key == "versionId" and value for key, value in parse_qsl(parts.query)):
        return True
    on_dandi = parts.hostname in _DANDI and re.match(r"/blobs/[0-9a-f]{3}/", parts.path)
    return bool(on_dandi)


def child(text: str, name: str) -> str:
    """Return the address of a file or folder below a folder's address."""
    base, question, query = text.partition("?")
    is_http = base.startswith("http")
    top, _, rest = base.partition("://")
    server, _, path = rest.partition("/")
    below = posixpath.normpath(posixpath.join("/", path, quote(name, _SAFE) if is_http else name))
    return f"{top}://{server}{below}{question}{query}"


def parent(text: str) -> str:
    """Return the address of the parent folder; a server or bucket is its own parent."""
    base, question, query = text.partition("?")
    top, _, rest = base.partition("://")
    server, slash, path = rest.rstrip("/").partition("/")
    above = path.rpartition("/")[0]
    return f"{top}://{server}{slash if above else ''}{above}{question}{query}"


def name(text: str) -> str:
    """Return the last part of an address, decoded."""
    base = text.partition("?")[0] if text.startswith("http") else text
    last = base.rstrip("/").rpartition("/")[2]
    return unquote(last) if text.startswith("http") else last


def _quoted(path: str) -> str:
    """Percent-encode a path, leaving escapes (%20) that it already has."""
    parts = re.split(r"(%[0-9A-Fa-f]{2})", path)
    return "".join(part if i % 2 else quote(part, _SAFE) for i, part in enumerate(parts))


def _is_name(key: str, value: str) -> bool:
    """Return whether a parameter of a query says which file is meant and is not secret."""
    key = key.lower()
    is_file_name = key == "key" and "." in value  # the key of an object, not a password
    if key in _NAMES or is_file_name:
        return True
    return len(value) <= _SHORT and not _SECRET.search(key)
