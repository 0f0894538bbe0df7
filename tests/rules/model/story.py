"""Stories: random sequences of what agents, network, CA, operator and time may do.

Owns the acts, how they are played, and what must hold after each. A story is played against the
model alone, or against a twin of model and real portal (anything with the model's methods).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from hypothesis import strategies as st

from renewal.rules.decision import Status
from renewal.rules.periods import is_valid
from renewal.rules.standing import ACCEPTED, UNPROVEN
from tests.rules.model.agents import Agent, CAgent, ReferenceAgent, Run
from tests.rules.model.portal import Portal
from tests.rules.model.rows import Certificate, Mood, Reply

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FOREIGN_LIFETIME = 365 * DAY


class World(Protocol):
    """What a story is played in; ``model`` says what should be so."""

    model: Portal

    def register(self, presented: Certificate, csr_key: int | None = None) -> Reply: ...
    def heartbeat(self, presented: Certificate, token: int | None) -> bool: ...
    def tick(self, step: timedelta) -> None: ...
    def sweep(self) -> None: ...
    def set_mood(self, mood: Mood) -> None: ...
    def set_revoke_old(self, on: bool) -> None: ...
    def set_flag(self, flag: int, *, at_once: bool) -> None: ...
    def approve(self) -> bool: ...
    def disapprove(self) -> None: ...
    def reset(self) -> None: ...


@dataclass
class ModelWorld:
    """The model alone."""

    model: Portal

    def register(self, presented: Certificate, csr_key: int | None = None) -> Reply:
        return self.model.register(presented, csr_key)

    def heartbeat(self, presented: Certificate, token: int | None) -> bool:
        return self.model.heartbeat(presented, token)

    def tick(self, step: timedelta) -> None:
        self.model.now += step

    def sweep(self) -> None:
        self.model.sweep()

    def set_mood(self, mood: Mood) -> None:
        self.model.mood = mood

    def set_revoke_old(self, on: bool) -> None:
        self.model.revoke_old = on

    def set_flag(self, flag: int, *, at_once: bool) -> None:
        self.model.set_flag(flag, at_once=at_once)

    def approve(self) -> bool:
        return self.model.approve()

    def disapprove(self) -> None:
        self.model.disapprove()

    def reset(self) -> None:
        self.model.reset()


# --- acts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunOnce:
    """The agent runs; ``lost`` says which replies do not arrive."""

    lost: tuple[bool, ...] = ()


@dataclass(frozen=True)
class RunTwice:
    """Two runs of one host at once; ``order`` says when a reply arrives before the next call."""

    order: tuple[bool, ...] = ()
    lost: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Beat:
    pass


@dataclass(frozen=True)
class Wait:
    step: timedelta


@dataclass(frozen=True)
class WaitShare:
    """A share of the lifetime of this story's certificates."""

    share: int


@dataclass(frozen=True)
class Work:
    pass


@dataclass(frozen=True)
class Operate:
    """An operator's act."""

    act: str


@dataclass(frozen=True)
class SetFlag:
    flag: int
    at_once: bool


@dataclass(frozen=True)
class SetMood:
    mood: Mood


@dataclass(frozen=True)
class Replace:
    """Somebody configures another trusted certificate by hand."""


Act = RunOnce | RunTwice | Beat | Wait | WaitShare | Work | Operate | SetFlag | SetMood | Replace

_lost = st.one_of(
    # What hurts: the reply with the certificate is the one that does not arrive.
    st.sampled_from([(False, True, True), (False, True), (False, True, False, True)]),
    st.lists(st.booleans(), max_size=5).map(tuple),
)
ACTS: st.SearchStrategy[Act] = st.one_of(
    st.builds(RunOnce, lost=_lost),
    st.just(RunOnce()),
    st.builds(RunTwice, order=st.lists(st.booleans(), max_size=8).map(tuple), lost=_lost),
    st.just(Beat()),
    st.builds(Wait, step=st.sampled_from([2 * HOUR, 7 * HOUR, 25 * HOUR])),
    st.builds(WaitShare, share=st.sampled_from([2, 3, 10])),
    st.just(Work()),
    st.builds(SetFlag, flag=st.sampled_from([0, 1, 1, 2, 2]), at_once=st.booleans()),
    st.builds(SetMood, mood=st.sampled_from(Mood)),
    st.builds(
        Operate, act=st.sampled_from(["approve", "disapprove", "reset", "revoke old", "keep old"])
    ),
    st.just(Replace()),
)


@dataclass(frozen=True)
class Story:
    """A kind of agent, a lifetime of certificates, and what happens."""

    is_c_agent: bool
    lifetime: timedelta
    acts: Sequence[Act]


STORIES = st.builds(
    Story,
    is_c_agent=st.booleans(),
    lifetime=st.sampled_from([365 * DAY, 90 * DAY, 7 * DAY]),
    acts=st.lists(ACTS, max_size=30),
)


# --- playing --------------------------------------------------------------------------------


@dataclass
class Stage:
    """One story under way."""

    world: World
    story: Story
    agent: Agent = field(init=False)
    _foreign: int = 0

    def __post_init__(self) -> None:
        kind = CAgent if self.story.is_c_agent else ReferenceAgent
        self.agent = kind(self.foreign_certificate())

    @property
    def model(self) -> Portal:
        return self.world.model

    def foreign_certificate(self) -> Certificate:
        """A certificate of another CA that the portal trusts and has not seen."""
        self._foreign += 1
        now: datetime = self.model.now
        return Certificate(
            number=self._foreign,
            key=-self._foreign,
            not_before=now - DAY,
            not_after=now - DAY + FOREIGN_LIFETIME,
            counted_from=now - DAY,
        )

    def begin(self) -> None:
        """The agent comes forward, is approved, and gets its first session."""
        self.run()
        assert self.world.approve()
        self.run()
        assert self.agent.token is not None

    def play(self) -> None:
        self.begin()
        for act in self.story.acts:
            self.do(act)
            self.check()
        self.recover()

    def do(self, act: Act) -> None:
        world = self.world
        match act:
            case RunOnce(lost=lost):
                self.run(lost)
            case RunTwice(order=order, lost=lost):
                self.run_twice(order, lost)
            case Beat():
                self.beat()
            case Wait(step=step):
                world.tick(step)
            case WaitShare(share=share):
                world.tick(self.story.lifetime / share)
            case Work():
                world.sweep()
            case SetFlag(flag=flag, at_once=at_once):
                world.set_flag(flag, at_once=at_once)
            case SetMood(mood=mood):
                world.set_mood(mood)
            case Replace():
                self.replace()
            case Operate(act="approve"):
                world.approve()
            case Operate(act="disapprove"):
                world.disapprove()
            case Operate(act="reset"):
                world.reset()
            case Operate(act=other):
                world.set_revoke_old(other == "revoke old")

    def run(self, lost: Sequence[bool] = ()) -> None:
        if self.can_run():
            self._interleave([self.agent.run()], (), lost)

    def run_twice(self, order: Sequence[bool], lost: Sequence[bool]) -> None:
        if not self.can_run():
            return
        if isinstance(self.agent, CAgent):
            self._interleave([self.agent.run(), self.agent.run()], order, lost)
        else:
            # The reference orchestrator holds a lock: its second run comes after the first.
            self._interleave([self.agent.run()], (), lost)
            self._interleave([self.agent.run()], (), ())

    def can_run(self) -> bool:
        """An agent whose certificate has ended sends nothing that concerns this record."""
        held = self.agent.certificate
        return is_valid(not_before=held.not_before, not_after=held.not_after, now=self.model.now)

    def _interleave(self, runs: list[Run], order: Sequence[bool], lost: Sequence[bool]) -> None:
        losses = deque(lost)
        turns = deque(order)
        waiting: list[tuple[Run, int | None]] = [(run, next(run)) for run in runs]
        answered: list[tuple[Run, Reply | None]] = []
        while waiting or answered:
            takes_reply = bool(answered) and (not waiting or (bool(turns) and turns.popleft()))
            if takes_reply:
                run, reply = answered.pop()
                try:
                    waiting.append((run, run.send(reply)))
                except StopIteration:
                    continue
            else:
                run, key = waiting.pop(0)
                answered.append((run, self._call(key, losses)))

    def _call(self, key: int | None, losses: deque[bool]) -> Reply | None:
        for _ in range(self.agent.tries):
            presented = self.agent.certificate
            flag = self.model.flag
            reply = self.world.register(presented, key)
            self._check_call(presented, flag, reply)
            if not (losses and losses.popleft()):
                return reply
        return None

    def beat(self) -> None:
        if self.can_run():
            flag = self.model.flag
            self.world.heartbeat(self.agent.certificate, self.agent.token)
            self._check_flag(self.agent.certificate, flag)
            assert set(self.model.events) <= {"flag_cleared"}

    def replace(self) -> None:
        self.agent.certificate = self.foreign_certificate()
        self.agent.is_replaced = True
        if isinstance(self.agent, ReferenceAgent):
            self.agent.pending = None

    # --- what must hold ---------------------------------------------------------------------

    def _check_call(self, presented: Certificate, flag: int, reply: Reply) -> None:
        if reply.token is not None:
            assert self.model.status is Status.APPROVED
            assert presented.standing in ACCEPTED
            assert not presented.revoked
        assert reply.certificate is None or reply.token is not None
        self._check_flag(presented, flag)
        wanted = [
            "flag_cleared",
            "certificate_proven",
            "legacy_thumbprint_cleared",
            "revocation_requested",
        ]
        places = [wanted.index(event) for event in self.model.events]
        promotion = self.model.events.count("certificate_proven")
        if promotion:
            first = self.model.events.index("certificate_proven")
            # What a delivery after the promotion gives up comes after it.
            assert places == sorted(places), self.model.events
            assert "revocation_requested" not in self.model.events[:first]
        assert promotion or "legacy_thumbprint_cleared" not in self.model.events

    def _check_flag(self, presented: Certificate, before: int) -> None:
        if before and not self.model.flag:
            assert presented.intent_flag_counter is not None
            assert presented.intent_flag_counter >= self.model.flag_counter

    def check(self) -> None:
        """What holds at any moment (I2, I3, I7 in docs/promises.md)."""
        held = [c for c in self.model.certificates if c.standing in ACCEPTED]
        assert len({c.standing for c in held}) == len(held)
        assert len([c for c in held if c.standing in UNPROVEN]) <= 2
        mine = self.agent.certificate
        if not self.agent.is_replaced:
            assert not mine.revoked
            if self.model.status is Status.APPROVED:
                assert mine.standing in ACCEPTED, f"{mine} is no longer accepted"

    def recover(self) -> None:
        """With a healthy CA and a willing operator the agent comes back, whatever has been."""
        self.world.set_mood(Mood.PROMPT)
        self.agent.token = None
        has_own = not self.agent.is_replaced and self._left() > 50 * HOUR
        if not has_own:
            self.world.reset()
            self.replace()
        for _ in range(7):
            self.world.approve()
            self.run()
            if self.agent.token is not None:
                return
            if not self.world.approve() and self.model.status is Status.DISAPPROVED:
                self.world.reset()
            self.world.tick(7 * HOUR)
            self.world.sweep()
        raise AssertionError(f"locked out with {self.agent.certificate}")

    def _left(self) -> timedelta:
        return self.agent.certificate.not_after - self.model.now
