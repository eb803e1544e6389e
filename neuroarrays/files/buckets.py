"""Buckets of object stores: S3 and what speaks like it, Google Cloud and Azure, as stores of obstore.

Credentials come from where these services keep them (environment, profile) and nowhere else. Without any,
a bucket is taken for a public one and asked without a signature.
"""

from __future__ import annotations

import configparser
import os
from typing import Any

#: Kind of address -> the variables by which each service is given credentials; one of them is enough.
CREDENTIALS = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_CLIENT_SECRET",
        "AZURE_FEDERATED_TOKEN_FILE",
    ),
}


def split(address: str) -> tuple[str, str]:
    """The bucket of an address, as an address, and the key in it."""
    kind, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{kind}://{bucket}", key


def looked_for(kind: str) -> str:
    """Where credentials of a kind of address are looked for, in words."""
    places = ", ".join(CREDENTIALS.get(kind, ()))
    return places + (" and the profile in ~/.aws (AWS_PROFILE)" if kind == "s3" else "")


def has_credentials(kind: str) -> bool:
    """Whether there are credentials for a kind of address."""
    named = any(os.environ.get(name) for name in CREDENTIALS.get(kind, ()))
    return named or (kind == "s3" and "aws_access_key_id" in _profile())


def store(top: str, options: dict[str, Any]) -> Any:
    """The store of a bucket.

    Parameters
    ----------
    top : str
        Address of the bucket.
    options : dict
        Of every store.
    """
    from obstore.store import AzureStore, GCSStore, S3Store

    kind, _, bucket = top.partition("://")
    unsigned: dict[str, Any] = {} if has_credentials(kind) else {"skip_signature": True}
    if kind == "gs":
        return GCSStore(bucket, **options, **unsigned)
    if kind == "az":
        return AzureStore(bucket, **options, **unsigned)
    settings: dict[str, Any] = {}
    if not any(os.environ.get(name) for name in CREDENTIALS["s3"]):
        profile = _profile()
        taken = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        settings = {key.removeprefix("aws_"): profile[key] for key in taken if key in profile}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings["region"] = region or _profile().get("region") or "us-east-1"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        settings["endpoint"] = endpoint
    return S3Store(bucket, **options, **unsigned, **settings)


def _profile() -> dict[str, str]:
    """What the profile of AWS says: ~/.aws/config, then ~/.aws/credentials."""
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    home = os.path.join(os.path.expanduser("~"), ".aws")
    config = os.environ.get("AWS_CONFIG_FILE") or os.path.join(home, "config")
    secret = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials")
    said: dict[str, str] = {}
    for file in (config, secret):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue
        for section in (name, f"profile {name}"):
            if parser.has_section(section):
                said |= dict(parser[section])
    return said
