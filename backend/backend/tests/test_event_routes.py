"""Facts and what follows them: every fact has a route, every route a task, and a whole deal tells the right people."""

import importlib
import inspect
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core import mail

from backend.event_routes import ROUTES
from common.clock import utc_now
from transactions import lifecycle
from transactions.models import ChangeRequest, Dispute, EscrowTransaction, Event, Submission
from transactions.rules import Action
from transactions.terms import deliverable_hash, reason_hash
from transactions.tests import cast
from transactions.tests.cast import Stage, chain_log

FACT = re.compile(
    r'"((?:transaction|milestone|dispute|review|action|signatures|account|seller|document)\.[a-z]+(?:_[a-z]+)*)"'
)
ROOMS = ("transactions/lifecycle", "users", "documents")


@pytest.fixture
def stage(db: None) -> Stage:
    return cast.stage()


def find_task(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


class TestThePage:
    def test_names_every_fact_that_the_rooms_publish(self) -> None:
        published = {
            fact
            for room in ROOMS
            for path in Path(settings.BASE_DIR, room).glob("*.py")
            if not path.name.startswith("test_")
            for fact in FACT.findall(path.read_text())
        }
        assert "milestone.released" in published
        assert published - set(ROUTES) == set()

    @pytest.mark.parametrize("fact", [name for name, routes in ROUTES.items() if routes])
    def test_leads_to_tasks_that_exist_and_take_these_arguments(self, fact: str) -> None:
        data = {
            "event_id": 1,
            "name": fact,
            "transaction_id": 2,
            "milestone_id": None,
            "actor_id": 3,
            "data": {"intent_id": 4},
            "user_id": 5,
            "request_id": 6,
            "document_id": 7,
        }
        for route in ROUTES[fact]:
            inspect.signature(find_task(route.task).run).bind(**route.arguments(data))


class Telling:
    """Follows the mails of the facts recorded since the last look, as the worker does."""

    def __init__(self) -> None:
        self.followed: set[int] = set()

    def __call__(self) -> dict[str, list[str]]:
        """What each person was told since the last look, by first name."""
        mail.outbox.clear()
        for event in Event.objects.exclude(pk__in=self.followed).order_by("pk"):
            self.followed.add(event.pk)
            data = {
                "event_id": event.pk,
                "name": event.name,
                "transaction_id": event.transaction_id,
                "milestone_id": event.milestone_id,
                "actor_id": event.actor_id,
                "data": event.data,
            }
            for route in ROUTES[event.name]:
                if route.task.startswith("users."):
                    for _ in range(2):  # delivered twice
                        find_task(route.task)(**route.arguments(data))
        told: dict[str, list[str]] = {}
        for sent in mail.outbox:
            told.setdefault(sent.to[0].partition("@")[0], []).append(str(sent.subject))
        return told


def hand_in(stage: Stage, position: int, round: int, note: str) -> None:
    milestone = stage.deal.milestones.get(position=position)
    digest = deliverable_hash(note=note, documents=[])
    Submission.objects.create(milestone=milestone, round=round, note=note, deliverable_hash=digest)
    lifecycle.record_submitted(
        escrow=stage.deal.escrow_id,
        position=position,
        round=round,
        deliverable=digest,
        review_ends_at=utc_now() + timedelta(days=7),
        log=chain_log(),
    )


def test_a_whole_deal_tells_everybody_what_concerns_him_and_nothing_twice(stage: Stage) -> None:
    told = Telling()
    stage.draft(amounts=(400_000_000, 500_000_000, 350_000_000))
    assert told() == {"bea": ["Your draft “A website” is saved"]}
    stage.propose()
    assert told() == {"sol": ["Bea proposes an agreement: “A website”, 1,250.00 tUSDC"]}
    stage.accept()
    assert told() == {
        "bea": ["Sol accepted “A website”: next, pay 1,250.00 tUSDC into escrow"],
        "sol": ["You accepted “A website”: the payment is next"],
        "ari": ["You are the arbiter of “A website”"],
    }

    escrow = stage.deal.escrow_id
    lifecycle.record_funded(escrow=escrow, positions=[0, 1], log=chain_log())
    assert told() == {
        "bea": ["Your payment of 900.00 tUSDC for “A website” is in escrow"],
        "sol": ["900.00 tUSDC for “A website” is in escrow: you can start"],
    }
    lifecycle.record_funded(escrow=escrow, positions=[2], log=chain_log())
    assert told() == {
        "bea": ["Your payment of 350.00 tUSDC for “A website” is in escrow"],
        "sol": ["350.00 tUSDC for “A website” is in escrow: you can start"],
    }

    hand_in(stage, 0, 1, "All three wireframes.\n<script>alert(1)</script>")
    subjects = told()
    assert subjects["sol"] == ["Your work on “Part 1” was handed in"]
    assert subjects["bea"][0].startswith("Please review “Part 1” by ")
    to_bea = next(sent for sent in mail.outbox if sent.to == ["bea@example.com"])
    assert "> All three wireframes." in to_bea.body
    assert "400.00 tUSDC is paid to Sol" in to_bea.body
    assert "<script>alert" not in to_bea.message().as_string().replace("> <script>alert", "")
    lifecycle.record_released(escrow=escrow, positions=[0], fee_units=0, log=chain_log())
    assert told() == {
        "bea": ["400.00 tUSDC was paid to Sol for “Part 1”"],
        "sol": ["You were paid 400.00 tUSDC for “Part 1”"],
    }

    hand_in(stage, 1, 1, "First try.")
    assert set(told()) == {"bea", "sol"}
    milestone = stage.deal.milestones.get(position=1)
    reason = "The contact form is missing."
    ChangeRequest.objects.create(milestone=milestone, round=1, reason=reason, reason_hash=reason_hash(reason))
    lifecycle.record_changes_requested(
        escrow=escrow,
        position=1,
        round=1,
        reason=reason_hash(reason),
        revision_ends_at=utc_now() + timedelta(days=3),
        log=chain_log(),
    )
    assert told() == {
        "bea": ["You asked Sol for changes to “Part 2”"],
        "sol": ["Bea asks for changes to “Part 2”"],
    }
    assert all("> The contact form is missing." in sent.body for sent in mail.outbox)
    hand_in(stage, 1, 2, "With the form.")
    assert set(told()) == {"bea", "sol"}
    lifecycle.record_released(escrow=escrow, positions=[1], fee_units=0, log=chain_log(), claimed=True)
    told()
    assert "The time to review ran out without an answer from Bea" in mail.outbox[-1].body

    hand_in(stage, 2, 1, "The launch.")
    told()
    lifecycle.record_disputed(
        escrow=escrow,
        position=2,
        party=stage.bea.key.address,
        reason=reason_hash("It is down."),
        arbitration_ends_at=utc_now() + timedelta(days=14),
        log=chain_log(),
    )
    assert told() == {
        "bea": ["You called the arbiter over “Part 3”"],
        "sol": ["Bea called the arbiter over “Part 3”"],
        "ari": ["Please decide a dispute over “Part 3”: 350.00 tUSDC"],
    }
    assert "50 % goes to the seller" in mail.outbox[-1].body
    Dispute.objects.update(decision="Half of it works.")
    lifecycle.record_split(
        escrow=escrow, seller_units={2: 200_000_000}, how="resolved", fee_units=0, reason="", log=chain_log()
    )
    assert told() == {
        "bea": ["The dispute over “Part 3” is over: 150.00 tUSDC goes to you", "“A website” is completed"],
        "sol": ["The dispute over “Part 3” is over: 200.00 tUSDC goes to you", "“A website” is completed"],
        "ari": ["The dispute over “Part 3” is over"],
    }
    lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.bea.user, rating=5, text="Good work.")
    assert told() == {"sol": ["Bea reviewed you after “A website”"]}
    lifecycle.leave_review(transaction_id=stage.deal.pk, author=stage.sol.user, rating=4)
    assert told() == {
        "bea": ["Sol reviewed you after “A website”", "“A website” is closed"],
        "sol": ["“A website” is closed"],
    }


def test_other_endings_are_told_as_well(stage: Stage) -> None:
    told = Telling()
    stage.draft()
    lifecycle.cancel(transaction_id=stage.deal.pk, actor=stage.bea.user)
    assert told() == {"bea": ["Your draft “A website” is saved", "“A website” was cancelled"]}

    stage.draft()
    stage.propose()
    told()
    lifecycle.decline(transaction_id=stage.deal.pk, actor=stage.sol.user, reason="Too early.")
    assert told() == {"bea": ["Sol declined “A website”"], "sol": ["You declined “A website”"]}
    assert "> Too early." in mail.outbox[0].body

    stage.draft()
    stage.propose()
    EscrowTransaction.objects.filter(pk=stage.deal.pk).update(accept_by=utc_now() - timedelta(minutes=1))
    told()
    lifecycle.apply_deadlines()
    assert told() == {"bea": ["“A website” has expired"], "sol": ["“A website” has expired"]}

    stage.funded(amounts=(100_000_000,))
    told()
    stage.submitted()
    stage.disputed()
    told()
    lifecycle.record_refunded(escrow=stage.deal.escrow_id, positions=[0], log=chain_log())
    assert told() == {
        "bea": ["100.00 tUSDC for “Part 1” went back to you", "“A website” is over: 100.00 tUSDC went back to you"],
        "sol": ["100.00 tUSDC for “Part 1” went back to Bea", "“A website” is over: 100.00 tUSDC went back to Bea"],
        "ari": ["100.00 tUSDC for “Part 1” went back to Bea"],
    }


def test_what_the_chain_refused_is_told_to_the_one_who_asked(stage: Stage) -> None:
    told = Telling()
    stage.funded()
    told()
    intent = stage.request(stage.bea, Action.APPROVE, 0)
    lifecycle.mark_intent_failed(intent_id=intent.pk, reason="escrow: signature has expired")
    assert told() == {"bea": ["Your request to approve in “A website” did not go through"]}
    assert "> escrow: signature has expired" in mail.outbox[0].body
