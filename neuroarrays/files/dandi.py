"""The DANDI archive: addresses ``dandi://DANDISET[@VERSION]/PATH`` and the files that they name.

The questions and answers are those of its REST interface, https://api.dandiarchive.org/swagger.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from neuroarrays.files import python_client, state
from neuroarrays.files.responses import NetworkError, Response

#: Environment variable with the address of another instance of the interface, and the public one.
API, _PUBLIC = "NEUROARRAYS_DANDI_API", "https://api.dandiarchive.org/api"
_FORM = re.compile(r"dandi://(\d{6})(?:@([^/]+))?(?:/(.*))?", re.DOTALL)
#: The beginning of an address that names an asset by its identifier instead of its path.
ASSET = "dandi://asset/"
#: The suffixes of assets that are Zarr stores.
STORES = (".zarr", ".ngff")
#: Addresses of Zarr stores by address of the asset, and file names by identifier of the asset.
_stores: state.Cache[str] = state.Cache(1 << 20, lambda _: state.ENTRY)
_names: state.Cache[str] = state.Cache(1 << 20, lambda _: state.ENTRY)
#: Largest answer of the interface, bytes.
_MOST = 32 << 20


def split(address: str) -> tuple[str, str, str]:
    """Split an address into dandiset, version and path; the version is "draft" where it names none.

    Raises
    ------
    NetworkError
        If the address has another form.
    """
    parts = _FORM.fullmatch(address)
    if parts is None:
        words = (
            "another form than dandi://DANDISET[@VERSION]/PATH, as in dandi://000006/sub-1/a.nwb"
        )
        raise NetworkError("address", words)
    return parts[1], parts[2] or "draft", (parts[3] or "").strip("/")


def download_address(address: str) -> str:
    """Return the address from which an asset is downloaded; it redirects to the bucket.

    Raises
    ------
    NetworkError
        If there is no such dandiset, version or asset, or if DANDI does not answer.
    """
    identifier, is_zarr = _asset(address)
    if is_zarr:
        raise NetworkError("missing", "a Zarr store, which is no file")
    return f"{_api()}/assets/{identifier}/download/"


def is_store(address: str) -> bool:
    """Return whether an address names a Zarr asset; DANDI requires one of two suffixes for these."""
    return address.rstrip("/").endswith(STORES)


def store_address(address: str) -> str:
    """Return the http(s) address below which the files of a Zarr asset lie.

    Raises
    ------
    NetworkError
        As `download_address`, and if the asset is not a Zarr store.
    """
    store = _stores.get(address)
    if store is None:
        stated = _response(f"assets/{_asset(address)[0]}/").get("contentUrl")
        urls = [str(url) for url in stated] if isinstance(stated, list) else []
        urls = [url for url in urls if "/zarr/" in url and "/api/" not in url]
        if not urls:
            words = "an asset of DANDI whose metadata do not say where its Zarr store lies"
            raise NetworkError("other", words)
        store = _stores.put(address, urls[0].rstrip("/"))
    return store


def store_files(address: str) -> Iterator[tuple[str, Response]]:
    """Yield every file of a Zarr asset: its name in the store, with its size, tag and date.

    Raises
    ------
    NetworkError
        As `store_address`.
    """
    identifier = store_address(address).rpartition("/")[2]
    page = f"zarr/{quote(identifier)}/files/?limit=1000"
    while page:
        response = _response(page)
        for entry in response.get("results", []):
            modified = _seconds(str(entry.get("LastModified", "")))
            tag = str(entry.get("ETag", ""))
            yield str(entry["Key"]), Response(b"", int(entry["Size"]), tag, modified, "")
        next_page = str(response.get("next") or "")
        if next_page and not next_page.startswith(f"{_api()}/"):
            raise NetworkError("other", "a list of files that goes on elsewhere")
        page = next_page.removeprefix(f"{_api()}/")


def stated_digests(address: str) -> dict[str, Any]:
    """Return the digests that DANDI states for an asset, by the name of the method.

    Raises
    ------
    NetworkError
        As `download_address`.
    """
    digests = _response(f"assets/{_asset(address)[0]}/").get("digest")
    return digests if isinstance(digests, dict) else {}


def files_below(address: str) -> list[tuple[str, int | None]]:
    """Return name and size of every asset in a dandiset or in a folder of it.

    Sizes are in bytes, and None for an asset that is not a file (a Zarr store).

    Raises
    ------
    NetworkError
        As `download_address`.
    """
    if address.startswith(ASSET):
        return []
    dandiset, version, path = split(address)
    prefix, assets, page = f"{path}/" if path else "", [], 1
    while page:
        condition = {"path": prefix} if prefix else {}
        query = urlencode({**condition, "page_size": 1000, "page": page})
        response = _response(f"dandisets/{dandiset}/versions/{quote(version)}/assets/?{query}")
        assets += [asset for asset in response.get("results", []) if isinstance(asset, dict)]
        page = page + 1 if response.get("next") else 0
    return [
        (
            str(asset["path"])[len(prefix) :],
            None if asset.get("zarr") else int(asset.get("size", 0)),
        )
        for asset in assets
        if str(asset.get("path", "")).startswith(prefix)
    ]


def asset_name(asset: str) -> str:
    """Return the file name of an asset, by its identifier; the identifier if DANDI does not answer."""
    name = _names.get(asset)
    if name is None:
        try:
            path = str(_response(f"assets/{quote(asset)}/").get("path") or asset)
        except NetworkError:
            return asset
        name = _names.put(asset, path.rpartition("/")[2])
    return name


def _asset(address: str) -> tuple[str, bool]:
    """Return the identifier of the asset at an address, and whether it is known to be a Zarr store."""
    if address.startswith(ASSET):
        return address.removeprefix(ASSET), False
    dandiset, version, path = split(address)
    query = urlencode({"path": path, "page_size": 10})
    response = _response(f"dandisets/{dandiset}/versions/{quote(version)}/assets/?{query}")
    assets = [asset for asset in response.get("results", []) if asset.get("path") == path]
    if not path or not assets:
        raise NetworkError("missing", "nothing")
    return str(assets[0]["asset_id"]), bool(assets[0].get("zarr"))


def folder_entries(address: str) -> dict[str, str]:
    """Return name -> "file" or "folder" of all that is directly in a dandiset or a folder of it.

    Raises
    ------
    NetworkError
        As `download_address`.
    """
    dandiset, version, path = split(address)
    names: dict[str, str] = {}
    page = 1
    while page:
        query = urlencode({"path_prefix": path, "page_size": 1000, "page": page})
        response = _response(
            f"dandisets/{dandiset}/versions/{quote(version)}/assets/paths/?{query}"
        )
        for entry in response.get("results", []):
            name = str(entry.get("path", "")).rpartition("/")[2]
            is_file = entry.get("asset") and not is_store(name)
            names[name] = "file" if is_file else "folder"
        page = page + 1 if response.get("next") else 0
    return names


def _seconds(text: str) -> int:
    """Return an ISO 8601 time as seconds since 1970; 0 for any other text."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0


def _api() -> str:
    return (os.environ.get(API) or _PUBLIC).rstrip("/")


def _response(query: str) -> dict[str, Any]:
    """Return the JSON mapping that the interface answers to a query."""
    raw = python_client.whole(f"{_api()}/{query}", _MOST)
    try:
        response = json.loads(raw)
    except ValueError:
        response = None
    if not isinstance(response, dict):
        raise NetworkError("other", "an answer of DANDI that is no JSON")
    return response
