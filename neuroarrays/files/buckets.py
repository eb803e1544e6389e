"""Buckets of S3 (and compatible services), Google Cloud and Azure, as stores of obstore.

Credentials are read only where these services keep them: in environment variables and in AWS
profiles. Without credentials a bucket is taken to be public, and requests to it are not signed.
"""

from __future__ import annotations

import configparser
import os
from typing import Any

#: Scheme of an address -> environment variables with credentials for it; one of them is enough.
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
    """Split an address into the address of its bucket and the key in the bucket."""
    kind, _, rest = address.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{kind}://{bucket}", key


def credential_sources(kind: str) -> str:
    """Return where credentials for a scheme are looked for, in words for a message."""
    variables = ", ".join(CREDENTIALS.get(kind, ()))
    return variables + (" and the profile in ~/.aws (AWS_PROFILE)" if kind == "s3" else "")


def has_credentials(kind: str) -> bool:
    """Return whether this user has credentials for a scheme."""
    in_environment = any(os.environ.get(name) for name in CREDENTIALS.get(kind, ()))
    return in_environment or (kind == "s3" and "aws_access_key_id" in _profile())


def store(top: str, options: dict[str, Any]) -> Any:
    """Return the obstore store of a bucket.

    Parameters
    ----------
    top : str
        Address of the bucket.
    options : dict
        Keyword arguments that every kind of store takes.
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
        secrets = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        settings = {key.removeprefix("aws_"): profile[key] for key in secrets if key in profile}
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    settings["region"] = region or _profile().get("region") or "us-east-1"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        settings["endpoint"] = endpoint
    return S3Store(bucket, **options, **unsigned, **settings)


def _profile() -> dict[str, str]:
    """Return the settings of the user's AWS profile, from ~/.aws/config and ~/.aws/credentials."""
    name = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or "default"
    home = os.path.join(os.path.expanduser("~"), ".aws")
    config = os.environ.get("AWS_CONFIG_FILE") or os.path.join(home, "config")
    credentials = os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials")
    settings: dict[str, str] = {}
    for file in (config, credentials):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(file, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue
        for section in (name, f"profile {name}"):
            if parser.has_section(section):
                settings |= dict(parser[section])
    return settings
