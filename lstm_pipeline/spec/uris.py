"""URIs of inputs: which ones are read, and how they are shown.

A URI in a spec may contain secrets: values of environment variables, a user and password, or a signed query. None of
them may reach a message, a log or a record, so a URI is shown with its variables as written and without the rest.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote

from lstm_pipeline.spec.settings import STORAGE_VARIABLE, VARIABLE, environment, expand, resolve_uri
from lstm_pipeline.wording import did_you_mean

SCHEMES = ("file", "s3", "s3a", "https", "gs", "abfs", "abfss")
"""Schemes of the URIs that are read."""

_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "https": "aiohttp", "gs": "gcsfs", "abfs": "adlfs", "abfss": "adlfs"}
"""Scheme → the package that reads it."""

_CONTAINERS = ("abfs", "abfss")
"""Schemes whose URIs name a container where others name a user: abfs://container@account.dfs.core.windows.net."""

_SHORT, _LONG = 4, 8
"""Secrets with fewer characters than `_SHORT` are not looked for in messages: they would be found in ordinary words.
From `_LONG` on they are replaced everywhere, in between only where they are words of their own."""

_QUERY = re.compile(r"\?[A-Za-z0-9_.%\-]+=")
"""Begins a query. In a path, any other question mark is a pattern."""

_URI = re.compile(r"([^/?#]*?)://([^/?#]*@)?([^?#]*)([?#].*)?", re.DOTALL)
"""The whole of a URI: scheme, user with password, host with path, query."""

_URI_IN_TEXT = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#\s'\"]*@)?([^?#\s'\"]*)([?#][^\s'\"]*)?")


def uri_problem(uri: str) -> str | None:
    """What is wrong with a URI from a spec, without looking at what it names; None if nothing is."""
    try:
        text = expand(uri)
    except KeyError as error:
        name = error.args[0]
        return f"the environment variable {name} is not set; set it, or provide a default: ${{{name}:-…}}"
    known = f"expected a local path or a URI that begins with one of: {', '.join(f'{scheme}://' for scheme in SCHEMES)}"
    scheme, separator, _ = text.partition("://")
    if not separator:
        scheme, separator, _ = text.partition(":")
        if separator and scheme.lower() in (*SCHEMES, "http"):
            return f"expected two slashes after '{scheme}:'; write {_advice(uri, text, scheme.lower())}"
        return None
    if "::" in text:
        return f"chained URIs (with '::') are not read; {known}"
    if scheme in SCHEMES:
        package = _PACKAGES.get(scheme)
        if package and importlib.util.find_spec(package) is None:
            return f"{scheme}:// needs the package {package}, which is not installed; run: pip install {package}"
        return None
    if f"{scheme}://" not in uri:  # what a variable holds is not shown
        return f"{known}; the value of a variable makes it begin with another scheme"
    advice = "; http is not encrypted, so use https" if scheme.lower() == "http" else did_you_mean(scheme, SCHEMES)
    return f"{known}; found {scheme}://{advice}"


def shown_uri(uri: str, folder: Path) -> str:
    """A URI from a spec as it may be shown to anyone.

    Variables stay as written, but without their defaults; a user, a password and a query are left out. A path without
    variables is shown as it is resolved (see `resolve_uri`).
    """
    if not VARIABLE.search(uri):
        return _bare(resolve_uri(uri, folder))
    masked = _bare(_masked(uri))
    if "://" in masked:
        return masked
    if VARIABLE.match(uri):  # it may hold the beginning of a URI
        return _QUERY.split(masked)[0]
    return os.path.join(folder.absolute(), os.path.expanduser(masked))


def without_credentials(text: str) -> str:
    """A text without the users, passwords and queries of the URIs in it."""
    return _URI_IN_TEXT.sub(lambda match: _bare(match[0]), text)


def scrubbed(text: str, uri: str, folder: Path) -> str:
    """A message of a lower layer about a URI from a spec, without what may not be shown.

    Args:
        text: the message, which may contain the resolved URI or parts of it.
        uri: the URI as written in the spec.
        folder: what it is relative to.
    """
    resolved, shown = resolve_uri(uri, folder), shown_uri(uri, folder)
    if resolved == shown:
        return text
    stand_ins = dict.fromkeys(_spellings(resolved), shown)
    for secret, stand_in in _secrets(uri, resolved, shown):
        stand_ins |= {spelling: stand_in for spelling in _spellings(secret) if spelling not in stand_ins}
    secrets = sorted((secret for secret in stand_ins if len(secret) >= _SHORT), key=len, reverse=True)
    if secrets:
        pattern = re.compile("|".join(map(_pattern, secrets)))
        text = pattern.sub(lambda match: stand_ins[match[0]], text)
    return without_credentials(_without_cut_secret(text, secrets))


def _bare(uri: str) -> str:
    """A URI without user, password and query; Azure containers and glob patterns are kept."""
    match = _URI.fullmatch(uri)
    if not match:
        return uri
    scheme, user, rest, query = match.groups(default="")
    user = user if scheme.lower() in _CONTAINERS and ":" not in user else ""
    query = "" if _is_query(scheme, query) else _QUERY.split(query)[0]
    return f"{scheme}://{user}{rest}{query}"


def _is_query(scheme: str, text: str) -> bool:
    return scheme.lower() in ("http", "https") or bool(_QUERY.match(text))


def _masked(uri: str) -> str:
    """A URI whose variables are shown by their names, without their defaults, which may be secrets as well."""
    return VARIABLE.sub(lambda match: f"${{{match[1]}}}" if match[2] is None else f"${{{match[1]}:-…}}", uri)


def _secrets(uri: str, resolved: str, shown: str) -> Iterator[tuple[str, str]]:
    """Parts of a resolved URI that may not be shown, and what is shown instead of each."""
    variables = environment()
    for match in VARIABLE.finditer(uri):
        name, default = match.groups()
        if name == STORAGE_VARIABLE and variables.get(name):
            continue  # the storage root is no secret
        value = variables.get(name) or default or ""
        segments = [part for part in re.split(r"[/?&=@:]", value) if part]
        parts = {value, value.strip("/"), value.partition("://")[2].strip("/"), *segments[-1:]}
        parts |= {part for part in segments if len(part) >= _LONG}
        yield from ((part, f"${{{name}}}") for part in parts if part not in shown)
    match_of_uri = _URI.fullmatch(resolved)
    if match_of_uri:
        scheme, user, _, query = match_of_uri.groups(default="")
        user = "" if scheme in _CONTAINERS and ":" not in user else user.removesuffix("@")
        query = query[1:] if _is_query(scheme, query) else ""
        values = [part.partition("=")[2] for part in query.split("&")]
        yield from ((part, "…") for part in (user, *user.split(":"), query, *values) if part not in shown)


def _spellings(text: str) -> set[str]:
    """A text as it is, and as it is written in URLs and requests; of a URI also what follows its scheme."""
    rest = text.partition("://")[2]
    return {text, rest, unquote(text), quote(text), quote(text, safe=""), quote_plus(text)} - {""}


def _pattern(secret: str) -> str:
    word = re.escape(secret)
    return word if len(secret) >= _LONG else rf"(?<![A-Za-z0-9]){word}(?![A-Za-z0-9])"


def _without_cut_secret(text: str, secrets: Iterable[str]) -> str:
    """A text without the beginning of a secret at its end: long messages are cut off."""
    body = text.rstrip(" )…")
    for secret in secrets:
        for size in range(len(secret) - 1, _SHORT - 1, -1):
            if body.endswith(secret[:size]):
                return f"{body[:-size]}…{text[len(body) :]}"
    return text


def _advice(uri: str, text: str, scheme: str) -> str:
    """The URI with two slashes after its scheme, if it may be shown."""
    written = f"{scheme}://{text.partition(':')[2].lstrip('/')}"
    return _bare(written) if text == uri else f"{scheme}://…"
