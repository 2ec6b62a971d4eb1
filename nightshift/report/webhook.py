"""One message a run to a chat: what came of it. Slack, Mattermost, Rocket.Chat, Discord, Google Chat, Teams.

The address of the incoming webhook is a secret, and so nowhere but in the environment: no message, record or log of
ours has it. https://api.slack.com/messaging/webhooks, https://discord.com/developers/docs/resources/webhook,
https://developers.google.com/workspace/chat/quickstart/webhooks,
https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7
"""

import ipaddress
import json
import os
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit

from nightshift.errors import ConfigurationError, NightshiftError
from nightshift.report import formats
from nightshift.report.folders import step_folders
from nightshift.report.judged import Evaluation
from nightshift.report.verdict import verdict_of
from nightshift.workspace import Run

ADDRESS, UI = "NIGHTSHIFT_WEBHOOK", "NIGHTSHIFT_UI"
SECONDS = 10.0
LONGEST, LONGEST_REASON = 1_900, 600
"""Characters; Discord takes 2,000."""

MARKS = {"good": "\u2705", "kept": "\u23f8\ufe0f", "failed": "\u274c", "unknown": "\u2754"}
TEAMS = (".webhook.office.com", ".logic.azure.com", ".powerplatform.com")


class WebhookError(NightshiftError):
    """The message was not taken."""


def post(run: Run) -> str:
    """Send the run's message if an address is set; returns what came of that in words, empty if none is set.

    Raises:
        ConfigurationError: the address cannot be used.
        WebhookError: it does not answer, or refuses.
    """
    address = os.environ.get(ADDRESS, "").strip()
    if not address:
        return ""
    url = _checked(address)
    body = json.dumps(payload(url, message(run))).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json; charset=utf-8"})
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=SECONDS):
            return f"told {url.hostname}"
    except urllib.error.HTTPError as error:
        error.close()
        # Neither the reason nor the page: they may repeat the address.
        raise WebhookError(f"{ADDRESS}: {url.hostname} refused the message ({error.code})") from None
    except TimeoutError:
        raise WebhookError(f"{ADDRESS}: {url.hostname} did not answer within {SECONDS:.0f} s") from None
    except (OSError, HTTPException) as error:
        cause = getattr(error, "reason", error)
        raise WebhookError(f"{ADDRESS}: {url.hostname} cannot be reached ({type(cause).__name__})") from None


def message(run: Run) -> str:
    """The outcome, why, the figures and where more is: plain text, a thing a line."""
    folders = step_folders(run)
    verdict = verdict_of(folders)
    prepared = folders["prepare_data"].figures
    judged = folders["evaluate"].described("evaluation.json", Evaluation)
    subject = prepared.get("model") or prepared.get("task") or "run"
    metrics = [f"{name} {formats.number(value)}" for name, value in (judged.metrics if judged else {}).items()]
    page = os.environ.get(UI, "").strip().rstrip("/")
    lines = [
        f"{MARKS[verdict.kind]} {subject}: {verdict.title}",
        _short(verdict.reason),
        _short(verdict.standing),
        ", ".join(metrics),
        f"{page}/#/runs/details/{run.run_id}" if page else f"run {run.run_id}",
    ]
    return "\n".join(line for line in lines if line)


def payload(url: SplitResult, text: str) -> dict[str, Any]:
    """The message as the tool at that address takes it; names in it call nobody."""
    host = url.hostname or ""
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"
    if host in ("discord.com", "discordapp.com") and not url.path.rstrip("/").endswith("/slack"):
        return {"content": text, "allowed_mentions": {"parse": []}}
    if host == "chat.googleapis.com":
        return {"text": text.replace("<", "\u2039").replace(">", "\u203a")}
    if host.endswith(TEAMS):
        return _adaptive_card(text)
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return {"text": text}


def _adaptive_card(text: str) -> dict[str, Any]:
    """https://adaptivecards.io/explorer/TextBlock.html"""
    title, *rest = text.splitlines()
    blocks = [{"type": "TextBlock", "text": title, "wrap": True, "weight": "Bolder"}]
    blocks += [{"type": "TextBlock", "text": line, "wrap": True} for line in rest]
    card = {"type": "AdaptiveCard", "version": "1.4", "body": blocks}
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection is a refusal: the secret is for the host that was named."""

    def redirect_request(self, *arguments: Any) -> None:
        """Do not follow."""


def _checked(address: str) -> SplitResult:
    try:
        url = urlsplit(address)
        host = url.hostname or ""
        known = url.port != 0 and address.isascii() and address.isprintable() and " " not in address
    except ValueError:
        host, known = "", False
    if not host or not known or url.scheme not in ("http", "https"):
        raise ConfigurationError(f"{ADDRESS}: expected the address of an incoming webhook, https://...")
    if url.scheme == "http" and not _is_near(host):
        raise ConfigurationError(f"{ADDRESS}: found http://{host}, expected https outside of machine and cluster")
    return url


def _is_near(host: str) -> bool:
    """Loopback, or a name that only the cluster knows."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".svc", ".svc.cluster.local"))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "\u2026"
