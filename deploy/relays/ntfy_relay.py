#!/usr/bin/env python3
"""Pushes Vagn's emergency notices, and Alertmanager's pages, to phones through an ntfy server.

Publishes as JSON: https://docs.ntfy.sh/publish/#publish-as-json
"""

import json
import sys
import urllib.error
import urllib.request

from relay import NotAccepted, main
from server import RETRY_AFTER_S, whole_number
from words import RING, TELL, WAKE, WHISPER

SETTINGS = {
    "LISTEN": ("127.0.0.1:9096", "where Vagn reaches this relay, as host:port"),
    "NTFY_URL": ("", "the ntfy server, such as https://ntfy.example; better your own: calls hold names and positions"),
    "NTFY_TOPIC": ("", "the topic; who knows it can read it, unless the server asks for a login"),
    "NTFY_TOKEN": ("", "access token of the ntfy server"),
    "VAGN_TOKEN": (
        "",
        "a token of Vagn's http.tokens: adds a button that acknowledges the incident. It goes out with each message, so "
        "whoever reads the topic has it",
    ),
    "BY": ("ntfy", "who acknowledged, when the button was pressed: 1 to 64 characters"),
}

PRIORITY = {WAKE: 5, RING: 4, TELL: 3, WHISPER: 2}
ANSWER_MAX = 64 * 1024  # bytes
RETRY_AFTER_MAX_S = 30


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Refuses redirects: one would turn the POST into a GET, and its 200 would not mean that the message was accepted."""

    def redirect_request(self, *_):
        return None


class Ntfy:
    """A topic of an ntfy server."""

    def __init__(self, settings):
        self.settings = settings
        self.url = settings.needed("NTFY_URL").rstrip("/") + "/"
        self.topic = settings.needed("NTFY_TOPIC")
        self.timeout_s = settings.seconds("TIMEOUT", least=0.1)
        if not 1 <= len(settings["BY"]) <= 64:
            raise ValueError("VAGN_RELAY_BY has 1 to 64 characters: Vagn takes no other name")
        self.opener = urllib.request.build_opener(NoRedirect)
        self.request({})  # fails now if it is no URL

    def push(self, message):
        """Returns when the server has accepted the message."""
        try:
            with self.opener.open(self.request(self.publication(message)), timeout=self.timeout_s) as response:
                answer = json.loads(response.read(ANSWER_MAX))
        except urllib.error.HTTPError as error:
            raise NotAccepted(f"ntfy answered {error.code}", retry_after(error)) from error
        except (OSError, ValueError, urllib.error.URLError) as error:
            raise NotAccepted(f"ntfy: {error}") from error
        if not (isinstance(answer, dict) and answer.get("id")):
            raise NotAccepted("what answered is not ntfy: there is no message id")

    def request(self, publication):
        headers = {"Content-Type": "application/json"}
        if self.settings["NTFY_TOKEN"]:
            headers["Authorization"] = f"Bearer {self.settings['NTFY_TOKEN']}"
        return urllib.request.Request(self.url, json.dumps(publication).encode(), headers, method="POST")

    def publication(self, message):
        """Writes the message in ntfy's JSON."""
        fields = {
            "topic": self.topic,
            "title": message.title,
            "message": message.text,
            "priority": PRIORITY[message.noise],
            "tags": tags(message),
            "actions": list(self.buttons(message)),
        }
        if message.incident_url:
            fields["click"] = message.incident_url
        return fields

    def buttons(self, message):
        """The buttons; ntfy shows up to three. A second press gets 409, and the notification stays."""
        if message.incident_url and self.settings["VAGN_TOKEN"]:
            yield {
                "action": "http",
                "label": "I take care of it",
                "url": message.incident_url + "/acknowledge",
                "method": "POST",
                "headers": {
                    "Authorization": f"Bearer {self.settings['VAGN_TOKEN']}",
                    "Content-Type": "application/json",
                },
                "body": json.dumps({"by": self.settings["BY"], "note": "by the button of a notification"}),
                "clear": True,
            }
        if message.map_url:
            yield {"action": "view", "label": "Map", "url": message.map_url}


def tags(message):
    if message.test:
        return ["test_tube", "TEST"]
    return ["rotating_light"] if message.noise == WAKE else ["information_source"]


def retry_after(error):
    seconds = whole_number(error.headers.get("Retry-After", ""))
    return RETRY_AFTER_S if seconds is None else min(seconds, RETRY_AFTER_MAX_S)


if __name__ == "__main__":
    sys.exit(main(__doc__, SETTINGS, lambda settings: Ntfy(settings).push))
