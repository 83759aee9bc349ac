"""Text for people: an emergency notice of Vagn's, or a notification of Alertmanager's, in a few lines.

Whatever came from a vehicle may hold anything, so it is made printable and short first. A field that is missing or odd
never keeps a call from being passed on.
"""

from dataclasses import dataclass
from typing import Optional
from urllib.parse import quote

TEXT_MAX = 3_500  # bytes; ntfy makes an attachment of a text longer than 4,096
NAME_MAX = 80  # characters of a vehicle's name

# Levels of noise.
WAKE, RING, TELL, WHISPER = "wake", "ring", "tell", "whisper"


@dataclass(frozen=True)
class Message:
    """One message, for every way of sending."""

    key: str
    title: str
    text: str
    noise: str
    test: bool = False
    incident: str = ""
    is_mere_position: bool = False
    incident_url: Optional[str] = None
    map_url: Optional[str] = None

    @property
    def log_name(self):
        return printable(f"{self.title} [{self.key}]", 200)


def printable(value, most=NAME_MAX):
    """Makes one line of printable text, cut off after `most` characters."""
    text = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(value))
    return text if len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def fit(text):
    """Cuts off `text` at the greatest length of a message."""
    return text.encode()[:TEXT_MAX].decode(errors="ignore")


def call_message(call, key, settings):
    """Makes the message for an emergency notice of Vagn's."""
    kind = call.get("type", "incident.opened")
    test = call.get("test") is True or call.get("kind") == "test"
    incident = printable(call.get("incident_id", key))
    acknowledged = call.get("state") == "acknowledged"
    return Message(
        key=printable(key, 200),
        title=("TEST, no emergency: " if test else "") + headline(call, kind, acknowledged),
        text=fit("\n".join(call_lines(call, test, incident, settings))),
        noise=noise(kind, test),
        test=test,
        incident=incident,
        is_mere_position=kind == "incident.updated" and not acknowledged,
        incident_url=incident_url(incident, settings),
        map_url=map_url(call, settings),
    )


def headline(call, kind, acknowledged):
    vehicle = printable(call.get("vehicle_id", "unknown vehicle"))
    if kind == "incident.updated":
        return f"{vehicle}: acknowledged" if acknowledged else f"{vehicle}: new position"
    if kind == "incident.escalated":
        return f"ESCALATED, nobody has acknowledged: {vehicle}"
    return f"EMERGENCY: {vehicle}"


def noise(kind, test):
    if kind == "incident.updated":
        return WHISPER
    return RING if test else WAKE


def call_lines(call, test, incident, settings):
    if test:
        yield "This is a TEST. Nobody is in danger."
    yield f"{printable(call.get('vehicle_id', 'An unknown vehicle'))} calls for help ({raised_by(call)})."
    yield f"Arrived {printable(call.get('received_at', 'at an unknown time'))}, raised {age(call)} ago."
    if call.get("stale") is True:
        yield "LATE: this call has been on its way for long."
    if call.get("state") == "acknowledged":
        yield "A person has acknowledged it."
    if call.get("quiet") is True:
        yield "The vehicle has been silent since."
    yield from place_lines(call, settings)
    yield f"Incident {incident}, attempt {printable(call.get('attempt', 1))}."
    url = incident_url(incident, settings)
    if url:
        yield ""
        yield "I take care of it:"
        yield acknowledge_line(url)


def raised_by(call):
    known = {"auto": "automatically", "manual": "by hand", "test": "as a test"}
    return known.get(str(call.get("kind")), "nobody said how")


def age(call):
    seconds = call.get("age_s")
    if not is_number(seconds):
        return "an unknown time"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def place_lines(call, settings):
    lat, lon = call.get("lat"), call.get("lon")
    if not (is_number(lat) and is_number(lon)):
        yield "No position is known."
        return
    trust = "" if call.get("position_trusted") is True else ", UNCERTAIN: not from the call itself"
    yield f"Position {lat:.6f}, {lon:.6f} at {printable(call.get('position_time'))}{trust}"
    url = map_url(call, settings)
    if url:
        yield url


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12


def map_url(call, settings):
    lat, lon = call.get("lat"), call.get("lon")
    if not (settings["MAP_URL"] and is_number(lat) and is_number(lon)):
        return None
    return settings["MAP_URL"].replace("{lat}", f"{lat:.6f}").replace("{lon}", f"{lon:.6f}")


def incident_url(incident, settings):
    base = settings["VAGN_URL"].rstrip("/")
    return f"{base}/api/v1/incidents/{quote(incident, safe='')}" if base else None


def acknowledge_line(url):
    """The command that acknowledges; the shell adds the token."""
    return (
        f"curl {url}/acknowledge -H \"Authorization: Bearer $VAGN_TOKEN\" "
        "-H 'Content-Type: application/json' -d '{\"by\":\"YOUR NAME\"}'"
    )


def alert_message(notification):
    """Makes the message for a group of alerts of Alertmanager's."""
    alerts = [alert for alert in as_list(notification.get("alerts")) if isinstance(alert, dict)]
    firing = notification.get("status") != "resolved"
    labels = as_dict(notification.get("commonLabels"))
    name = printable(labels.get("alertname", f"{len(alerts)} alerts"))
    page = any(as_dict(alert.get("labels")).get("severity") == "page" for alert in alerts)
    return Message(
        key=printable(notification.get("groupKey", name), 200),
        title=f"{'ALERT' if firing else 'Over'}: {name}",
        text=fit("\n".join(line for alert in alerts for line in alert_lines(alert)) or name),
        noise=(WAKE if page else TELL) if firing else WHISPER,
    )


def alert_lines(alert):
    notes = as_dict(alert.get("annotations"))
    over = "over: " if alert.get("status") == "resolved" else ""
    yield over + printable(notes.get("summary", as_dict(alert.get("labels")).get("alertname", "an alert")), 300)
    for name in ("description", "runbook"):
        if name in notes:
            yield printable(notes[name], 500)


def as_dict(value):
    return value if isinstance(value, dict) else {}


def as_list(value):
    return value if isinstance(value, list) else []


def trial_message():
    """Makes a message that shows that messages arrive."""
    text = "This is a TEST of the relay itself. Nobody is in danger."
    return Message(key="relay-trial", title="TEST, no emergency: Vagn's relay", text=text, noise=RING, test=True)
