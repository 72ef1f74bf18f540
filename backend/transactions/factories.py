"""Rows for tests that need a state rather than the way to it. For the way itself: `transactions.tests.cast`.

The cast is always the same: Bea the buyer, Sol the seller, Ari the arbiter, Rei the reviewer, Max the stranger.
"""

import secrets
from datetime import timedelta
from typing import Any

import factory
from factory.django import DjangoModelFactory

from common.clock import utc_now
from transactions.models import EscrowTransaction, Milestone, Token
from transactions.rules import MilestoneStatus, Money, TransactionStatus
from users.models import SellerProfile, User

CHAIN_ID = 31337
VAULT_ADDRESS = "0x" + "5E" * 20


class UserFactory(DjangoModelFactory[User]):
    """A person; `UserFactory.create(name="Bea")` is bea@example.com, and the same person when asked for again."""

    class Meta:
        model = User
        django_get_or_create = ("email",)
        skip_postgeneration_save = True

    class Params:
        name = factory.Sequence(lambda number: f"Person {number}")

    display_name = factory.SelfAttribute("name")
    email = factory.LazyAttribute(lambda user: f"{user.name.lower().replace(' ', '.')}@example.com")
    password = "!"  # nobody can log in with it, and no test waits for a password hash


class SellerProfileFactory(DjangoModelFactory[SellerProfile]):
    class Meta:
        model = SellerProfile
        django_get_or_create = ("user",)

    user = factory.SubFactory(UserFactory, name="Sol")
    legal_name = factory.SelfAttribute("user.display_name")


class TokenFactory(DjangoModelFactory[Token]):
    """Test USDC: six decimals."""

    class Meta:
        model = Token
        django_get_or_create = ("chain_id", "address")

    chain_id = CHAIN_ID
    address = "0x" + "70" * 20
    symbol = "tUSDC"
    name = "Test USD Coin"
    decimals = 6


class EscrowTransactionFactory(DjangoModelFactory[EscrowTransaction]):
    """A draft of Bea's with Sol, Ari as arbiter, and `amounts` of milestones in base units.

    Traits lead further: `proposed`, `accepted`, `funded` (all milestones), `completed` (all paid).
    """

    class Meta:
        model = EscrowTransaction
        skip_postgeneration_save = True

    class Params:
        proposed = factory.Trait(
            status=TransactionStatus.PENDING_FUNDING,
            proposed_at=factory.LazyFunction(utc_now),
            escrow_id=factory.LazyFunction(lambda: "0x" + secrets.token_hex(32)),
        )
        accepted = factory.Trait(
            proposed=True, status=TransactionStatus.AWAITING_PAYMENT, accepted_at=factory.LazyFunction(utc_now)
        )
        funded = factory.Trait(
            accepted=True, status=TransactionStatus.IN_ESCROW, funded_at=factory.LazyFunction(utc_now)
        )
        completed = factory.Trait(
            funded=True, status=TransactionStatus.COMPLETED, completed_at=factory.LazyFunction(utc_now)
        )

    title = "A new website"
    description = "Three pages and a contact form."
    buyer = factory.SubFactory(UserFactory, name="Bea")
    seller = factory.SubFactory(UserFactory, name="Sol")
    arbiter = factory.SubFactory(UserFactory, name="Ari", is_arbiter=True)
    author = factory.SelfAttribute("buyer")
    status = TransactionStatus.DRAFT
    token = factory.SubFactory(TokenFactory)
    chain_id = factory.SelfAttribute("token.chain_id")
    vault_address = VAULT_ADDRESS
    accept_by = factory.LazyFunction(lambda: utc_now() + timedelta(days=25))
    review_seconds = 14 * 86_400
    revision_seconds = 7 * 86_400
    max_revisions = 3
    arbitration_seconds = 30 * 86_400
    timeout_seller_bps = 5_000

    @factory.post_generation
    def amounts(deal: EscrowTransaction, create: bool, extracted: Any, **kwargs: Any) -> None:
        """Milestones of these amounts in base units; 400, 500 and 350 tUSDC unless told otherwise."""
        if not create:
            return
        titles = ("Wireframes", "Pages", "Launch")
        for position, units in enumerate(extracted or (400_000_000, 500_000_000, 350_000_000)):
            title = titles[position] if position < len(titles) else f"Part {position + 1}"
            MilestoneFactory.create(transaction=deal, position=position, title=title, amount_units=units, **kwargs)


def _money_of(milestone: Any) -> str:
    status = milestone.transaction.status
    if status in (TransactionStatus.IN_ESCROW, TransactionStatus.WORK_IN_PROGRESS, TransactionStatus.DISPUTED):
        return Money.FUNDED
    return Money.RELEASED if status in (TransactionStatus.COMPLETED, TransactionStatus.CLOSED) else Money.UNFUNDED


class MilestoneFactory(DjangoModelFactory[Milestone]):
    """A milestone whose money is where its deal's status says."""

    class Meta:
        model = Milestone

    transaction = factory.SubFactory(EscrowTransactionFactory)
    position = 0
    title = "Wireframes"
    amount_units = 400_000_000
    deliver_by = factory.LazyFunction(lambda: utc_now() + timedelta(days=40))
    money = factory.LazyAttribute(_money_of)
    status = factory.LazyAttribute(
        lambda milestone: MilestoneStatus.COMPLETED if milestone.money == Money.RELEASED else MilestoneStatus.PENDING
    )
    seller_units = factory.LazyAttribute(
        lambda milestone: milestone.amount_units if milestone.money == Money.RELEASED else 0
    )
    funded_at = factory.LazyAttribute(lambda milestone: None if milestone.money == Money.UNFUNDED else utc_now())
    settled_at = factory.LazyAttribute(lambda milestone: utc_now() if milestone.money == Money.RELEASED else None)
