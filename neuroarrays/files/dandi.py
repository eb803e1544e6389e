"""Addresses of DANDI: ``dandi://DANDISET[@VERSION]/PATH`` and where the file lies that they mean."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from neuroarrays.files import python_client, state
from neuroarrays.files.answers import Answer, NetworkError

#: Variable with the address of the archive's interface, and the one that is asked without.
API, _PUBLIC = "NEUROARRAYS_DANDI_API", "https://api.dandiarchive.org/api"
_FORM = re.compile(r"dandi://(\d{6})(?:@([^/]+))?(?:/(.*))?", re.DOTALL)
#: How an address begins that has the number of an asset; names of assets by their numbers.
ASSET = "dandi://asset/"
#: How names of assets end that are Zarr stores.
STORES = (".zarr", ".ngff")
_stores: state.Cache[str] = state.Cache(1 << 20, lambda _: state.ENTRY)
_names: state.Cache[str] = state.Cache(1 << 20, lambda _: state.ENTRY)
#: Bytes of an answer of the interface.
_MOST = 32 << 20


def split(address: str) -> tuple[str, str, str]:
    """Dandiset, version and path of an address; the version is "draft" where it says none.

    Raises
    ------
    NetworkError
        If it is written in another way.
    """
    parts = _FORM.fullmatch(address)
    if parts is None:
        words = (
            "another form than dandi://DANDISET[@VERSION]/PATH, as in dandi://000006/sub-1/a.nwb"
        )
        raise NetworkError("address", words)
    return parts[1], parts[2] or "draft", (parts[3] or "").strip("/")


def download_address(address: str) -> str:
    """The address from which an asset is downloaded; it leads to the bucket by a redirect.

    Raises
    ------
    NetworkError
        If there is no such dandiset, version or asset, or the interface cannot be asked.
    """
    number, is_store = _asset(address)
    if is_store:
        raise NetworkError("missing", "a Zarr store, which is no file")
    return f"{_api()}/assets/{number}/download/"


def is_store(address: str) -> bool:
    """Whether an address means a Zarr asset by its name, as DANDI asks of these."""
    return address.rstrip("/").endswith(STORES)


def store_address(address: str) -> str:
    """Where the files of a Zarr asset lie, below an address of http(s).

    Raises
    ------
    NetworkError
        As `download_address`, and if it is no Zarr asset.
    """
    kept = _stores.get(address)
    if kept is None:
        stated = _asked(f"assets/{_asset(address)[0]}/").get("contentUrl")
        places = [str(place) for place in stated] if isinstance(stated, list) else []
        below = [place for place in places if "/zarr/" in place and "/api/" not in place]
        if not below:
            raise NetworkError(
                "other", "an asset of DANDI of which nothing says where its Zarr store lies"
            )
        kept = _stores.put(address, below[0].rstrip("/"))
    return kept


def store_files(address: str) -> Iterator[tuple[str, Answer]]:
    """Every file of a Zarr asset: its name below the store, and what DANDI says of it.

    Raises
    ------
    NetworkError
        As `store_address`.
    """
    number = store_address(address).rpartition("/")[2]
    page = f"zarr/{quote(number)}/files/?limit=1000"
    while page:
        answer = _asked(page)
        for entry in answer.get("results", []):
            modified = _seconds(str(entry.get("LastModified", "")))
            tag = str(entry.get("ETag", ""))
            yield str(entry["Key"]), Answer(b"", int(entry["Size"]), tag, modified, "")
        following = str(answer.get("next") or "")
        if following and not following.startswith(f"{_api()}/"):
            raise NetworkError("other", "a list of files that goes on elsewhere")
        page = following.removeprefix(f"{_api()}/")


def stated_digests(address: str) -> dict[str, Any]:
    """The digests that are stated of an asset, by their names.

    Raises
    ------
    NetworkError
        As `download_address`.
    """
    stated = _asked(f"assets/{_asset(address)[0]}/").get("digest")
    return stated if isinstance(stated, dict) else {}


def files_below(address: str) -> list[tuple[str, int | None]]:
    """Name and size, bytes, of every asset below a dandiset or a folder of it; None where it is no file.

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
        below = {"path": prefix} if prefix else {}
        query = urlencode({**below, "page_size": 1000, "page": page})
        answer = _asked(f"dandisets/{dandiset}/versions/{quote(version)}/assets/?{query}")
        assets += [asset for asset in answer.get("results", []) if isinstance(asset, dict)]
        page = page + 1 if answer.get("next") else 0
    return [
        (
            str(asset["path"])[len(prefix) :],
            None if asset.get("zarr") else int(asset.get("size", 0)),
        )
        for asset in assets
        if str(asset.get("path", "")).startswith(prefix)
    ]


def asset_name(asset: str) -> str:
    """The name of the file of an asset by its number; the number where it cannot be asked for."""
    kept = _names.get(asset)
    if kept is None:
        try:
            path = str(_asked(f"assets/{quote(asset)}/").get("path") or asset)
        except NetworkError:
            return asset
        kept = _names.put(asset, path.rpartition("/")[2])
    return kept


def _asset(address: str) -> tuple[str, bool]:
    """The number of the asset that an address means, and whether it is known to be a Zarr store."""
    if address.startswith(ASSET):
        return address.removeprefix(ASSET), False
    dandiset, version, path = split(address)
    query = urlencode({"path": path, "page_size": 10})
    answer = _asked(f"dandisets/{dandiset}/versions/{quote(version)}/assets/?{query}")
    assets = [asset for asset in answer.get("results", []) if asset.get("path") == path]
    if not path or not assets:
        raise NetworkError("missing", "nothing")
    return str(assets[0]["asset_id"]), bool(assets[0].get("zarr"))


def folder_entries(address: str) -> dict[str, str]:
    """Name -> "file" or "folder" of what is directly below a dandiset, or a folder of it.

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
        answer = _asked(f"dandisets/{dandiset}/versions/{quote(version)}/assets/paths/?{query}")
        for entry in answer.get("results", []):
            name = str(entry.get("path", "")).rpartition("/")[2]
            is_file = entry.get("asset") and not is_store(name)
            names[name] = "file" if is_file else "folder"
        page = page + 1 if answer.get("next") else 0
    return names


def _seconds(text: str) -> int:
    """A time in the form of ISO 8601 as seconds since 1970; 0 where it is none."""
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:
        return 0


def _api() -> str:
    return (os.environ.get(API) or _PUBLIC).rstrip("/")


def _asked(what: str) -> dict[str, Any]:
    raw = python_client.whole(f"{_api()}/{what}", _MOST)
    try:
        answer = json.loads(raw)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise NetworkError("other", "an answer of DANDI that is no JSON")
    return answer
