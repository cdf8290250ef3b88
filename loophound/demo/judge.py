"""Holds the records of a run against what was planted. Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loophound.demo.plan import Endpoint, Planted, Site
from loophound.detector.records import Place, Stall


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was reported of one planted blocker; `fault` says what is wrong, None when nothing is.

    `excused` are the stalls in its requests for which the report blames nobody, such as those
    on a machine that gave no CPU.
    """

    planted: Planted
    site: Site
    stalls: tuple[Stall, ...]
    excused: tuple[Stall, ...]
    fault: str | None

    @property
    def right(self) -> bool:
        return self.fault is None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts in the order of the plan, and the stalls that belong to none of them.

    `accusations` blame code that is healthy; `others` blame nobody, or code outside the application.
    """

    verdicts: tuple[Verdict, ...]
    accusations: tuple[Stall, ...]
    others: tuple[Stall, ...]

    @property
    def passed(self) -> bool:
        return not self.accusations and all(verdict.right for verdict in self.verdicts)


def judge(
    stalls: Iterable[Stall],
    planted: Sequence[Planted],
    sites: Mapping[str, Site],
    healthy: Sequence[Endpoint],
) -> Judgement:
    """Assign each stall to the planted blocker that it names or whose request it names, and judge it."""
    files = {site.file for site in sites.values()}
    belongs: dict[str, list[Stall]] = {entry.name: [] for entry in planted}
    excused: dict[str, list[Stall]] = {entry.name: [] for entry in planted}
    accusations: list[Stall] = []
    others: list[Stall] = []
    for stall in last_records(stalls):
        owner = owner_of(stall, planted, sites)
        if owner is not None:
            (excused if stall.innocent else belongs)[owner.name].append(stall)
        elif accuses(stall, healthy, files):
            accusations.append(stall)
        else:
            others.append(stall)
    verdicts = tuple(_verdict(entry, sites[entry.name], belongs[entry.name], excused[entry.name]) for entry in planted)
    return Judgement(verdicts, tuple(accusations), tuple(others))


def last_records(stalls: Iterable[Stall]) -> list[Stall]:
    """One record for each stall: a long one is written while it lasts, and again when it has ended."""
    return list({stall.id: stall for stall in stalls}.values())


def owner_of(stall: Stall, planted: Sequence[Planted], sites: Mapping[str, Site]) -> Planted | None:
    """The blocker whose line is accused; else the one whose endpoint was being served."""
    for entry in planted:
        if stall.culprit is not None and stands_at(stall.culprit, sites[entry.name]):
            return entry
    for entry in planted:
        if endpoint_of(stall) == entry.endpoint:
            return entry
    return None


def accuses(stall: Stall, healthy: Sequence[Endpoint], files: Iterable[Path]) -> bool:
    """Whether a stall that belongs to no planted blocker blames the application or a healthy request."""
    if stall.innocent:
        return False
    in_application = stall.culprit is not None and any(same_file(stall.culprit.file, file) for file in files)
    return in_application or endpoint_of(stall) in healthy


def fault_of(stall: Stall, planted: Planted, site: Site) -> str | None:
    """What the report has wrong, the most misleading first; None when all of it is right."""
    culprit = stall.culprit
    if culprit is None:
        return "no culprit"
    if not stands_at(culprit, site):
        return f"blames {place(culprit)}, not line {site.line}"
    if stall.cause is not planted.cause:
        return f"cause {stall.cause.value}, not {planted.cause.value}"
    if (endpoint := endpoint_of(stall)) != planted.endpoint:
        return f"blames {endpoint}" if endpoint else "no request"
    return None


def endpoint_of(stall: Stall) -> Endpoint | None:
    request = stall.request
    return None if request is None else Endpoint(request.method, request.path)


def stands_at(place: Place, site: Site) -> bool:
    return place.line == site.line and same_file(place.file, site.file)


def same_file(recorded: str, file: Path) -> bool:
    """Whether a recorded file name is `file`; a record may shorten it to its last parts."""
    parts = Path(recorded).parts
    return file.parts[-len(parts) :] == parts


def place(culprit: Place) -> str:
    return f"{Path(culprit.file).name}:{culprit.line}"


def _verdict(planted: Planted, site: Site, stalls: Sequence[Stall], excused: Sequence[Stall]) -> Verdict:
    faults = [fault for stall in stalls if (fault := fault_of(stall, planted, site)) is not None]
    if len(stalls) < planted.stalls:
        told = f"{len(stalls)} of {planted.stalls} calls reported" if stalls else "not reported"
        causes = " and ".join(dict.fromkeys(stall.cause.value for stall in excused))
        faults.append(f"{told}, {causes} instead" if excused else told)
    return Verdict(planted, site, tuple(stalls), tuple(excused), "; ".join(dict.fromkeys(faults)) or None)
