"""Downloads over HTTPS, streamed to disk and whole or not there."""

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from nightshift.data.limits import MAX_TOTAL_BYTES
from nightshift.errors import DataError
from nightshift.files import exclusive_lock, write_atomic

LOOPBACK = ("127.0.0.1", "::1", "localhost")
TIMEOUT_SECONDS = 60.0
MAX_REDIRECTS = 5
CHUNK_BYTES = 2**20

Say = Callable[[str], None]


def fetch(url: str, cache: Path, say: Say) -> Path:
    """The file behind a URL in the cache; downloaded again only if the server says that it has changed.

    Raises:
        DataError: not https (http only on loopback), no file name in the URL, or the download failed.
    """
    name = Path(unquote(urlsplit(url).path)).name
    if not name:
        raise DataError(f"{url}: names no file")
    folder = cache / "https" / hashlib.sha256(url.encode()).hexdigest()[:32]
    target, tag_file = folder / name, folder / "etag"
    with exclusive_lock(folder / ".lock", say):
        tag = tag_file.read_text() if target.exists() and tag_file.exists() else ""
        # Without its tag a file is not trusted: so a process killed between the two writes does no harm.
        new_tag = download(url, target, say, tag=tag, before_replacing=lambda: tag_file.unlink(missing_ok=True))
        if new_tag:
            write_atomic(tag_file, new_tag.encode())
    return target


def download(
    url: str,
    target: Path,
    say: Say,
    *,
    tag: str = "",
    before_replacing: Callable[[], None] = lambda: None,
) -> str:
    """Stream a URL to a file that appears when it is whole.

    Args:
        url: https, or http on loopback; redirects may lead to such only.
        target: the file.
        say: told how far the download is.
        tag: the ETag of the file that is there; kept if the server still has the same.
        before_replacing: called just before the file takes its place.

    Returns:
        The server's ETag, or ''.

    Raises:
        DataError: the server refused, the content ended early or is too large.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    headers = {"If-None-Match": tag} if tag else {}
    try:
        with (
            httpx.Client(
                follow_redirects=True,
                max_redirects=MAX_REDIRECTS,
                timeout=TIMEOUT_SECONDS,
                event_hooks={"request": [_check_request]},
            ) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return tag
            response.raise_for_status()
            _save(response, target, say, before_replacing)
            return str(response.headers.get("ETag", ""))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"{url}: cannot be downloaded ({error})") from None


def _save(response: httpx.Response, target: Path, say: Say, before_replacing: Callable[[], None]) -> None:
    total = int(response.headers.get("Content-Length", 0))
    done = 0
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in response.iter_raw(CHUNK_BYTES):
                done += len(chunk)
                if done > MAX_TOTAL_BYTES:
                    raise DataError(f"{response.url}: sends more than {MAX_TOTAL_BYTES} bytes")
                file.write(chunk)
                say(_state(target.name, done, total))
            file.flush()
            os.fsync(file.fileno())
        before_replacing()
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)


def _state(name: str, done: int, total: int) -> str:
    whole = f" of {total / 2**20:.1f}" if total else ""
    return f"downloading {name}: {done / 2**20:.1f}{whole} MiB"


def _check_request(request: httpx.Request) -> None:
    url = request.url
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise DataError(f"{url}: expected https (http only for this machine)")
