#!/usr/bin/env python3
"""Sends Vagn's emergency notices, and Alertmanager's notifications, as e-mail through an SMTP relay.

Accepted means: the SMTP relay has taken it over. A letter may still be late or lost, so let this be a further target
behind one that wakes people.
"""

import logging
import smtplib
import ssl
import sys
from email.message import EmailMessage
from email.utils import formatdate, parseaddr

from relay import NotAccepted, main
from words import WAKE, trial_message

SETTINGS = {
    "LISTEN": ("127.0.0.1:9097", "where Vagn reaches this relay, as host:port"),
    "UPDATES": ("300", "send a new position of an incident at most this often, in seconds; 0: never"),
    "SMTP": ("localhost:25", "the SMTP relay, as host:port"),
    "SMTP_TLS": ("starttls", "starttls, tls (from the first byte, port 465) or none (loopback only)"),
    "SMTP_USER": ("", "name to log in with; empty: without"),
    "SMTP_PASSWORD": ("", "password to log in with"),
    "FROM": ("", "the sender's address"),
    "TO": ("", "addresses, with commas between them"),
}

log = logging.getLogger("relay")


class Mail:
    """The way to people through an SMTP relay."""

    def __init__(self, settings):
        self.settings = settings
        self.host, _, port = settings.needed("SMTP").rpartition(":")
        self.port = int(port) if port.isdigit() else -1
        if not 0 < self.port < 65536:
            raise ValueError(f"VAGN_RELAY_SMTP is not host:port: {settings['SMTP']}")
        self.tls = settings["SMTP_TLS"]
        if self.tls not in ("starttls", "tls", "none"):
            raise ValueError(f"VAGN_RELAY_SMTP_TLS is not starttls, tls or none: {self.tls}")
        self.sender = settings.needed("FROM")
        self.people = [one.strip() for one in settings.needed("TO").split(",") if one.strip()]
        self.timeout_s = settings.seconds("TIMEOUT", least=0.1)
        self.letter(trial_message())  # fails now if the addresses cannot be used in a letter

    def push(self, message):
        """Returns when the SMTP relay has accepted the letter for at least one of the people."""
        try:
            with self.connect() as smtp:
                missed = smtp.send_message(self.letter(message), self.sender, self.people)
        except (smtplib.SMTPException, OSError, ValueError) as error:
            raise NotAccepted(f"smtp: {error}") from error
        for person, why in missed.items():
            # The others have it: to repeat it for this one would send it to the others each time.
            log.warning("not sent to %s: %s", person, why)

    def connect(self):
        context = ssl.create_default_context()
        if self.tls == "tls":
            smtp = smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout_s, context=context)
        else:
            smtp = smtplib.SMTP(self.host, self.port, timeout=self.timeout_s)
        try:
            if self.tls == "starttls":
                smtp.starttls(context=context)
            if self.settings["SMTP_USER"]:
                smtp.login(self.settings["SMTP_USER"], self.settings["SMTP_PASSWORD"])
        except BaseException:
            smtp.close()
            raise
        return smtp

    def letter(self, message):
        """Makes a letter of the message; all letters about an incident are one thread."""
        letter = EmailMessage()
        letter["From"] = self.sender
        letter["To"] = ", ".join(self.people)
        letter["Subject"] = message.title
        letter["Date"] = formatdate()
        letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: asks for no automatic answers
        if message.incident:
            letter["Message-ID"] = self.name(message.key)
            if message.key != message.incident:
                letter["References"] = letter["In-Reply-To"] = self.name(message.incident)
        if message.noise == WAKE:
            letter["Importance"] = "high"
            letter["X-Priority"] = "1"
        letter.set_content(message.text + "\n", cte="quoted-printable")
        return letter

    def name(self, key):
        domain = parseaddr(self.sender)[1].rpartition("@")[2] or "vagn"
        plain = "".join(char if char.isascii() and (char.isalnum() or char in "-_.") else "_" for char in key)
        return f"<{plain}@{domain}>"


if __name__ == "__main__":
    sys.exit(main(__doc__, SETTINGS, lambda settings: Mail(settings).push))
