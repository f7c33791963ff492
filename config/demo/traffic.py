"""Believable traffic: real arrival times, shifted to end now, and what each conversation brought with it.

Pure and repeatable: what happens around an arrival follows from a hash of its time.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

ARRIVALS = Path(__file__).resolve().parent.parent / "data" / "arrivals.csv.gz"
LAPS = (timedelta(0), timedelta(days=182))  # each workspace is as busy as two of the recorded ones
SOURCE = "https://app.example/events"


@dataclass(frozen=True, slots=True)
class Mix:
    """What share of a workspace's conversations brings what; `emails` and `campaign` are a day's numbers."""

    resolutions: float
    voice: float
    calls: float
    whatsapp: float
    sms: float
    chats: float
    emails: int
    campaign: int = 0


MIXES = {
    "atlas": Mix(
        resolutions=0.40, voice=0.028, calls=0.07, whatsapp=0.12, sms=0.10, chats=0.6, emails=310, campaign=22
    ),
    "birch": Mix(resolutions=0.42, voice=0.0, calls=0.06, whatsapp=0.0, sms=0.15, chats=0.5, emails=60),
    "cobalt": Mix(resolutions=0.34, voice=0.02, calls=0.09, whatsapp=0.1, sms=0.2, chats=0.7, emails=45),
}


@dataclass(frozen=True, slots=True, order=True)
class Happening:
    """One event as the application sends it, and when it happened; `answered` names the conversation that the agent was
    asked about."""

    at: datetime
    id: str
    workspace: str = field(compare=False)
    type: str = field(compare=False)
    data: dict[str, Any] = field(compare=False)
    answered: str | None = field(default=None, compare=False)

    def as_event(self) -> dict[str, Any]:
        """A CloudEvent (spec 2.3)."""
        return {
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": self.type,
            "subject": self.workspace,
            "time": self.at.isoformat(),
            "data": self.data,
        }


def arrivals(*, until: datetime) -> dict[str, list[datetime]]:
    """When conversations began, by workspace, ascending; each one's last recorded day falls on the day of `until`."""
    recorded: dict[str, list[datetime]] = {}
    with gzip.open(ARRIVALS, "rt", encoding="ascii", newline="") as file:
        for row in csv.DictReader(file):
            recorded.setdefault(row["workspace"], []).append(datetime.fromisoformat(row["occurred_at"]))
    shifted = {}
    for workspace, times in recorded.items():
        first, last = min(times), max(times)
        span = timedelta(days=(last.date() - first.date()).days + 1)
        shift = timedelta(days=(until.date() - last.date()).days)
        laps = {
            at + shift + lap - (span if at + shift + lap > last + shift else timedelta(0))
            for lap in LAPS
            for at in times
        }
        shifted[workspace] = sorted(at for at in laps if at < until)
    return shifted


def happenings(workspace: str, times: list[datetime], *, zone: str, since: datetime) -> list[Happening]:
    """Everything that a workspace sends from `since` on, in order of time."""
    mix = MIXES[workspace]
    found = [event for at in times if at >= since for event in _around(workspace, at, mix)]
    days = sorted({at.astimezone(ZoneInfo(zone)).date() for at in times if at >= since})
    last = times[-1] if times else since
    for day in days:
        found += [event for event in _daily(workspace, day, zone, mix) if since <= event.at <= last]
    return sorted(found)


def _around(workspace: str, at: datetime, mix: Mix) -> Iterator[Happening]:
    name = f"{workspace}-{at:%Y%m%dT%H%M%S}"
    share = _shares(name)
    conversation = {"conversation_id": name}
    is_resolved = share[0] < mix.resolutions
    yield Happening(
        at,
        f"{name}-created",
        workspace,
        "conversation.created",
        conversation,
        # The agent is asked about two in three of them, and always where it resolved one.
        name if is_resolved or share[1] < 0.37 else None,
    )
    if is_resolved:
        yield Happening(
            at + timedelta(minutes=2 + 20 * share[2]),
            f"{name}-resolved",
            workspace,
            "ai_resolution.recorded",
            conversation,
        )
    if share[3] < mix.voice:
        yield Happening(
            at + timedelta(minutes=4), f"{name}-voice", workspace, "voice_resolution.recorded", conversation
        )
    if share[4] < mix.calls:
        begins, ends = at + timedelta(minutes=1), at + timedelta(minutes=1, seconds=45 + int(780 * share[5]))
        data = {"started_at": begins.isoformat(), "ended_at": ends.isoformat()}
        yield Happening(ends, f"{name}-call", workspace, "call.ended", data)
    for channel, wanted, drawn in (
        ("whatsapp", mix.whatsapp, share[6]),
        ("sms", mix.sms, share[7]),
        ("chat", mix.chats, share[8]),
    ):
        if drawn < wanted:
            messages = 2 + int(9 * share[9])
            yield Happening(
                at + timedelta(minutes=3), f"{name}-{channel}", workspace, f"{channel}.message", {"value": messages}
            )


def _daily(workspace: str, day: date, zone: str, mix: Mix) -> Iterator[Happening]:
    share = _shares(f"{workspace}-{day}")
    is_weekend = day.weekday() >= 5
    evening = datetime.combine(day, time(18), ZoneInfo(zone)).astimezone(UTC)
    emails = int(mix.emails * (0.25 if is_weekend else 0.85 + 0.3 * share[0]))
    if emails:
        yield Happening(evening, f"{workspace}-{day}-emails", workspace, "email.processed", {"value": emails})
    if mix.campaign and not is_weekend:
        sent = int(mix.campaign * (0.6 + 0.8 * share[1]))
        at = evening - timedelta(hours=8)
        yield Happening(at, f"{workspace}-{day}-campaign", workspace, "message.sent", {"value": sent})


def _shares(name: str) -> list[float]:
    """Ten numbers in [0, 1) that follow from the name."""
    digest = blake2b(name.encode(), digest_size=20).digest()
    return [int.from_bytes(digest[i : i + 2]) / 65536 for i in range(0, 20, 2)]
