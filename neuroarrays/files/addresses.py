"""Addresses as text: what of them is a name, and what is secret.

A signature, a token and a password are needed to read, and are said nowhere: not in messages, names,
pickles, caches or the history of what is saved. Everything that is shown or kept comes from `without_secrets`.
"""

from __future__ import annotations

import base64
import posixpath
import re
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from neuroarrays.errors import MissingPath

#: The kinds of addresses that are read.
KINDS = ("http", "https", "s3", "gs", "az", "dandi")
#: Parameters of a query that name a file or its version; others are taken for a signature unless short.
_NAMES = {"versionid", "version", "generation", "path", "file", "filename", "name", "id"}
_SECRET = re.compile(
    r"sig|token|secret|cred|pass|key|auth|policy|expires|session|^x-|^s[a-z]$|^se$"
)
_SHORT = 24
#: Servers of the bucket of DANDI.
_DANDI = ("dandiarchive.s3.amazonaws.com", "dandiarchive.s3.us-east-2.amazonaws.com")
_SAFE = "/!$&'()*+,;=:@~"


def kind_of(text: str) -> str:
    """The kind of an address ("https", "s3", ...), "" of a path.

    Raises
    ------
    MissingPath
        If it is an address of a kind that is not read, or is written wrongly.
    """
    kind, separator, rest = text.partition("://")
    if re.match(rf"(?i:{'|'.join((*KINDS, 'file'))}):/[^/]", text):
        kind, _, rest = text.partition(":/")
        msg = (
            f"{kind}:/{_plain(rest)}: expected an address with two slashes ({kind}://...), as "
            "text; "
            "pathlib.Path removes one"
        )
        raise MissingPath(msg)
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", kind):
        return ""
    kind = kind.lower()
    if kind not in (*KINDS, "file"):
        msg = (
            f"{kind}://{_plain(rest)}: addresses of this kind cannot be read; expected one of "
            f"{', '.join(KINDS)}"
        )
        raise MissingPath(msg)
    if not rest.strip("/"):
        msg = f"{kind}://: the address has no server or name"
        raise MissingPath(msg)
    if kind in ("http", "https"):
        _check_server(kind, rest)
    elif kind in ("s3", "gs", "az") and "@" in rest.partition("/")[0]:
        msg = (
            f"{kind}://{_plain(rest)}: credentials in the address of a bucket are not used; put "
            "them into "
            "the environment or profile of its service"
        )
        raise MissingPath(msg)
    return kind


def _check_server(kind: str, rest: str) -> None:
    """Refuse an address of http(s) without a server, or with a port that is none."""
    try:
        parts = urlsplit(f"{kind}://{rest}")
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_valid = False
    if not is_valid or re.search(r"[\s\x00-\x1f]", rest.partition("/")[0]):
        msg = (
            f"{kind}://{_plain(rest)}: the address has no valid server and port; check it, and "
            "quote "
            "special characters of a password (/ as %2F, @ as %40)"
        )
        raise MissingPath(msg)


def _plain(rest: str) -> str:
    """What of an address may be shown even where it is written wrongly."""
    return rest.rpartition("@")[2].partition("?")[0]


def without_password(text: str) -> tuple[str, dict[str, str]]:
    """An address of http(s) without user and password, and the headers of a request that say them."""
    parts = urlsplit(text)
    user, at, server = parts.netloc.rpartition("@")
    if not at:
        return text, {}
    name, _, password = user.partition(":")
    pair = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
    return urlunsplit(parts._replace(netloc=server)), {"Authorization": f"Basic {pair}"}


def with_password(text: str, original: str) -> str:
    """An address that a request led to, with user and password of the original if the server is the same."""
    parts, before = urlsplit(text), urlsplit(original)
    _, at, server = before.netloc.rpartition("@")
    if not at or (parts.scheme, parts.netloc) != (before.scheme, server):
        return text
    return urlunsplit(parts._replace(netloc=before.netloc))


def dandi_address(text: str) -> str:
    """The ``dandi://`` address of a page or an asset of the DANDI archive; another address as it is."""
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
    """An address that can be asked for: of http(s), spaces and the like quoted; "#" is part of a name."""
    kind, separator, rest = text.partition("://")
    if not separator:  # a path
        return text
    if kind.lower() not in ("http", "https"):
        return f"{kind.lower()}://{rest}"
    before, question, query = rest.partition("?")
    server, slash, path = before.partition("/")
    return f"{kind.lower()}://{server}{slash}{_quoted(path)}{question}{query}"


def without_secrets(text: str) -> str:
    """An address without what is secret in it: it names a file, and is what is said and kept; a path as it is."""
    text = normalised(text)
    if not text.startswith(("http://", "https://")):
        return text
    parts = urlsplit(text)
    server = parts.netloc.rpartition("@")[2]
    query = urlencode([pair for pair in parse_qsl(parts.query) if _is_name(*pair)])
    return urlunsplit((parts.scheme, server, parts.path, query, ""))


def is_fixed(text: str) -> bool:
    """Whether an address says which version it means, so that its content is always the same.

    It has the version of an object of S3 in its query, or is a blob of DANDI, which is never replaced.
    """
    if not text.startswith(("http://", "https://")):
        return False
    parts = urlsplit(text)
    if any(key == "versionId" and value for key, value in parse_qsl(parts.query)):
        return True
    on_dandi = parts.hostname in _DANDI and re.match(r"/blobs/[0-9a-f]{3}/", parts.path)
    return bool(on_dandi)


def child(text: str, name: str) -> str:
    """The address of a name below another."""
    base, question, query = text.partition("?")
    is_http = base.startswith("http")
    top, _, rest = base.partition("://")
    server, _, path = rest.partition("/")
    below = posixpath.normpath(posixpath.join("/", path, quote(name, _SAFE) if is_http else name))
    return f"{top}://{server}{below}{question}{query}"


def parent(text: str) -> str:
    """The address of the folder that it is in; of a server or bucket, itself."""
    base, question, query = text.partition("?")
    top, _, rest = base.partition("://")
    server, slash, path = rest.rstrip("/").partition("/")
    above = path.rpartition("/")[0]
    return f"{top}://{server}{slash if above else ''}{above}{question}{query}"


def name(text: str) -> str:
    """The last part of an address, as it is called."""
    base = text.partition("?")[0] if text.startswith("http") else text
    last = base.rstrip("/").rpartition("/")[2]
    return unquote(last) if text.startswith("http") else last


def _quoted(path: str) -> str:
    """A path with what is no valid escape quoted; one that is quoted already stays."""
    parts = re.split(r"(%[0-9A-Fa-f]{2})", path)
    return "".join(part if i % 2 else quote(part, _SAFE) for i, part in enumerate(parts))


def _is_name(key: str, value: str) -> bool:
    """Whether a parameter of a query says which file it is, and is no secret."""
    if key.lower() in _NAMES or (
        key.lower() == "key" and "." in value
    ):  # a file's, not that of a door
        return True
    return len(value) <= _SHORT and not _SECRET.search(key.lower())
