"""From an incident to its records: what the core cannot know is added here. On the faces' thread."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from dataclasses import replace

from loophound import allowing
from loophound.detector.adapters.heartbeat import Crowd, WatchedLoop
from loophound.detector.adapters.watchdog import Incident
from loophound.detector.adapters.work import find_work
from loophound.detector.allowances import Allowances
from loophound.detector.diagnosis import Finding, diagnose
from loophound.detector.episode import Span
from loophound.detector.facts import Sampled
from loophound.detector.records import FAILED, INNOCENT, Stall
from loophound.detector.report import Arrival, Reporter, Scene
from loophound.detector.tracing import Tracing
from loophound.server.hooks import Exchange


class Explainer:
    """Judges incidents; counts in `allowed` those that somebody allowed, and leaves them out."""

    def __init__(
        self,
        reporter: Reporter,
        allowances: Allowances,
        tracing: Tracing | None,
        *,
        limit_ns: int | None,
        worker: int,
    ) -> None:
        self.allowed = 0
        self._reporter = reporter
        self._allowances = allowances
        self._tracing = tracing
        self._limit_ns = limit_ns
        self._worker = worker

    def explain(self, incident: Incident, *, observed: bool) -> list[Stall]:
        """The records of what the watchdog saw."""
        watched, episode, crowd = incident.loop, incident.episode, incident.crowd
        findings = diagnose(
            episode,
            until_ns=incident.until_ns,
            threshold_ns=watched.threshold_ns,
            origin=self._reporter.origin,
            observed=observed,
        )
        findings = [finding for finding in findings if not self._is_allowed(finding, watched)]
        findings = [self._with_limit(finding) for finding in findings]
        if crowd is not None:
            findings = [self._attribute(finding, watched.loop, crowd) for finding in findings]
        scene = Scene(
            pid=os.getpid(),
            worker=self._worker,
            loop=watched.loop_name,
            thread=watched.thread_name,
            threshold_ns=watched.threshold_ns,
            error_ns=episode.error_ns,
            beat_ns=episode.beat_ns,
            slot=watched.slot.index if watched.slot is not None else -1,
            ongoing=incident.ongoing,
            wall_offset_ns=time.time_ns() - time.monotonic_ns(),
            arrivals=[arrival_of(exchange) for exchange in crowd.exchanges] if crowd else (),
            settled_ns=crowd.settled_ns if crowd else 0,
            thread_names={t.native_id: t.name for t in threading.enumerate() if t.native_id is not None},
        )
        stalls = self._reporter.make(findings, scene)
        if self._tracing is not None:
            for finding, stall in zip(findings, stalls, strict=True):
                self._tracing.ended(stall, finding.work.context if finding.work is not None else None)
        return stalls

    def _with_limit(self, finding: Finding) -> Finding:
        """Beyond the limit, and nobody could even try to interrupt it: the GIL was held all the time."""
        beyond = self._limit_ns is not None and finding.span.length_ns > self._limit_ns + finding.portrait.threshold_ns
        if not beyond or finding.interrupted is not None or finding.cause in INNOCENT:
            return finding
        return replace(finding, interrupted=FAILED)

    def is_meant(self, watched: WatchedLoop, sample: Sampled) -> bool:
        """On the watchdog's thread: whether somebody allowed the block that goes on now."""
        frames, now = sample.frames[sample.base :], Span(sample.at_ns, sample.at_ns + 1)
        permitted = any(permit.covers(watched.ident, now, frames) for permit in list(allowing.permits))
        return permitted or self._allowances.cover(frames)

    def _is_allowed(self, finding: Finding, watched: WatchedLoop) -> bool:
        if finding.sample is None or finding.cause in INNOCENT:
            return False
        frames = finding.sample.frames[finding.sample.base :]
        permitted = any(permit.covers(watched.ident, finding.span, frames) for permit in list(allowing.permits))
        allowed = self._allowances.cover(frames) or permitted
        self.allowed += allowed
        return allowed

    def _attribute(self, finding: Finding, loop: asyncio.AbstractEventLoop, crowd: Crowd) -> Finding:
        """Seen from outside alone, the request is found among those that were there at the end."""
        sample = finding.sample
        if finding.work is not None or sample is None or not sample.unit:
            return finding
        return replace(finding, work=find_work(sample.unit, sample.at_ns, loop, crowd.exchanges, search_tasks=False))


def arrival_of(exchange: Exchange) -> Arrival:
    scope = exchange.scope
    method, path = scope.get("method", "GET"), scope.get("path", "")
    return Arrival(id(exchange.connection), id(scope), exchange.began_ns, exchange.ended_ns, method, path)
