"""The words about a whole deal. Each function writes one type of message for one reader."""

from common.clock import words_for_seconds
from notifications.catalogue.facts import DealFacts, Reader
from notifications.message import Message
from transactions.models import Review
from transactions.rules import Money, Role

Facts = tuple[tuple[str, str], ...]


def _terms(facts: DealFacts, reader: Reader) -> Facts:
    deal = facts.deal
    return (
        ("Amount", facts.total),
        ("Milestones", str(len(facts.milestones))),
        ("Buyer", facts.name_of(Role.BUYER)),
        ("Seller", facts.name_of(Role.SELLER)),
        ("Arbiter", facts.name_of(Role.ARBITER)),
        ("Time to review", words_for_seconds(deal.review_seconds)),
        ("Accept and pay by", reader.when(facts.pay_by)),
    )


def created(facts: DealFacts, reader: Reader) -> Message:
    author, other = facts.name_of(facts.author_role), facts.name_of(facts.other_role)
    if facts.deal.proposed_at is None:
        return facts.write(
            reader,
            subject=f"Your draft {facts.title} is saved",
            heading="Your draft is saved",
            lines=(
                f"Only you can see it. {other} is told once you sign the terms and send them.",
                "Until then you can change every word and every amount.",
            ),
            facts=_terms(facts, reader),
            action="Continue with the draft",
        )
    if reader.role is facts.author_role:
        return facts.write(
            reader,
            subject=f"You proposed {facts.title} to {other}",
            heading="Your proposal is on its way",
            lines=(
                f"You signed the terms, and {other} can read them now.",
                f"We tell you as soon as {other} accepts or declines.",
            ),
            facts=_terms(facts, reader),
        )
    return facts.write(
        reader,
        subject=f"{author} proposes an agreement: {facts.title}, {facts.total}",
        heading=f"{author} proposes an agreement to you",
        lines=(
            f"You would be {'the seller' if reader.role is Role.SELLER else 'the buyer'}. "
            "Please read the terms; they bind both of you only once you sign them as well.",
            "The money waits in a smart contract and moves only by the rules of these terms.",
        ),
        facts=_terms(facts, reader),
        action="Read and answer",
    )


def accepted(facts: DealFacts, reader: Reader) -> Message:
    buyer, seller = facts.name_of(Role.BUYER), facts.name_of(Role.SELLER)
    other = facts.name_of(facts.other_role)
    mine = reader.role is facts.other_role
    if reader.role is Role.ARBITER:
        return facts.write(
            reader,
            subject=f"You are the arbiter of {facts.title}",
            heading="Two parties chose you as their arbiter",
            lines=(
                f"{buyer} and {seller} signed terms that name you.",
                "There is nothing to do now. We write again if one of them calls you to decide.",
            ),
            facts=_terms(facts, reader),
        )
    if reader.role is Role.BUYER:
        return facts.write(
            reader,
            subject=f"{'You' if mine else other} accepted {facts.title}: next, pay {facts.total} into escrow",
            heading="You accepted the terms" if mine else f"{other} accepted the terms",
            lines=(
                f"Both of you have signed. Next, pay into escrow; {seller} starts when the money is there.",
                f"You stay in control: a milestone is paid to {seller} when you approve the work, "
                "or when your time to review it ends without an answer from you.",
            ),
            facts=_terms(facts, reader),
            action="Pay into escrow",
        )
    return facts.write(
        reader,
        subject=f"{'You' if mine else other} accepted {facts.title}: the payment is next",
        heading="You accepted the terms" if mine else f"{other} accepted the terms",
        lines=(
            f"Both of you have signed. {buyer} pays {facts.total} into escrow next.",
            "Please wait with the work until we tell you that the money is there.",
        ),
        facts=_terms(facts, reader),
    )


def declined(facts: DealFacts, reader: Reader) -> Message:
    other = facts.name_of(facts.other_role)
    mine = reader.role is facts.other_role
    return facts.write(
        reader,
        subject=f"{'You' if mine else other} declined {facts.title}",
        heading="You declined the terms" if mine else f"{other} declined your proposal",
        lines=(
            "The agreement is over before it began; no money has moved.",
            "If you still want to work together, one of you can propose new terms.",
        ),
        quote=(f"{'You' if mine else other} wrote", facts.data("reason")),
    )


def cancelled(facts: DealFacts, reader: Reader) -> Message:
    actor = facts.event.actor if facts.event is not None else None
    mine = actor is not None and actor == reader.user
    who = "You" if mine else str(actor) if actor is not None else "One of the parties"
    return facts.write(
        reader,
        subject=f"{facts.title} was cancelled",
        heading="You cancelled the agreement" if mine else "The agreement was cancelled",
        lines=(f"{who} cancelled it before any money came. Nothing is owed by anyone.",),
        facts=(("Amount", facts.total),),
        quote=(f"{who} wrote", facts.data("reason")),
    )


def expired(facts: DealFacts, reader: Reader) -> Message:
    return facts.write(
        reader,
        subject=f"{facts.title} has expired",
        heading="The agreement has expired",
        lines=(
            f"It was not {'paid' if facts.deal.accepted_at else 'accepted'} in time, so it is over. No money moved.",
            "If you still want to work together, one of you can propose new terms.",
        ),
        facts=(("Amount", facts.total), ("Accept and pay by", reader.when(facts.pay_by))),
    )


def funded(facts: DealFacts, reader: Reader) -> Message:
    paid = facts.money(sum(m.amount_units for m in facts.funded))
    whole = all(m.money != Money.UNFUNDED for m in facts.milestones)
    buyer, seller = facts.name_of(Role.BUYER), facts.name_of(Role.SELLER)
    rows: Facts = (
        ("Paid into escrow", paid),
        *((f"Milestone {m.position + 1}, due {reader.when(m.deliver_by)}", facts.money(m.amount_units))
          for m in facts.funded),
    )  # fmt: skip
    if reader.role is Role.BUYER:
        return facts.write(
            reader,
            subject=f"Your payment of {paid} for {facts.title} is in escrow",
            heading="Your payment is in escrow",
            lines=(
                f"The blockchain has confirmed it: {paid} is held by the smart contract, "
                f"not by us and not by {seller}.",
                f"{seller} can start to work. We tell you when there is something to review.",
            ),
            facts=rows,
        )
    return facts.write(
        reader,
        subject=f"{paid} for {facts.title} is in escrow: you can start",
        heading="The money is there: you can start",
        lines=(
            f"{buyer} has paid, and the blockchain has confirmed it: {paid} is held by the smart contract for you."
            + ("" if whole else " Other milestones are not paid yet: please do not start to work on those."),
            "Hand in each milestone by its date. After a missed date the buyer may take that milestone's money back.",
        ),
        facts=rows,
    )


def completed(facts: DealFacts, reader: Reader) -> Message:
    earned = sum(m.seller_units - m.fee_units for m in facts.milestones)
    fees = sum(m.fee_units for m in facts.milestones)
    back = sum(m.buyer_units for m in facts.milestones)
    rows: Facts = (("Paid to the seller", facts.money(earned)),)
    rows += (("Fee", facts.money(fees)),) if fees else ()
    rows += (("Paid back to the buyer", facts.money(back)),) if back else ()
    other = facts.name_of(Role.SELLER if reader.role is Role.BUYER else Role.BUYER)
    return facts.write(
        reader,
        subject=f"{facts.title} is completed",
        heading="The transaction is completed",
        lines=(
            "Every milestone is settled and nothing is left in escrow.",
            f"How was it to work with {other}? A short review helps those who come after you.",
        ),
        facts=rows,
        action="Leave a review",
    )


def refunded(facts: DealFacts, reader: Reader) -> Message:
    back = facts.money(sum(m.buyer_units for m in facts.milestones))
    buyer = facts.name_of(Role.BUYER)
    mine = reader.role is Role.BUYER
    return facts.write(
        reader,
        subject=f"{facts.title} is over: {back} went back to {'you' if mine else buyer}",
        heading="The transaction is refunded",
        lines=(f"All the money of this agreement went back to {'you' if mine else buyer}. The transaction is over.",),
        facts=(("Paid back to the buyer", back),),
    )


def closed(facts: DealFacts, reader: Reader) -> Message:
    return facts.write(
        reader,
        subject=f"{facts.title} is closed",
        heading="The transaction is closed",
        lines=("There is nothing left to do. You can read it, its files and its timeline at any time.",),
    )


def reviewed(facts: DealFacts, reader: Reader) -> Message:
    author_id = int(reviewer_of(facts) or 0)
    author = facts.name_of(Role.BUYER if author_id == facts.deal.buyer_id else Role.SELLER)
    return facts.write(
        reader,
        subject=f"{author} reviewed you after {facts.title}",
        heading=f"{author} left a review of you",
        lines=("You can read it on the page of the transaction.",),
        action="Read the review",
    )


def reviewer_of(facts: DealFacts) -> int | None:
    """Whose review it is: the event's actor, else the author of the newest review."""
    if facts.event is not None:
        return facts.event.actor_id
    return Review.objects.filter(transaction=facts.deal).order_by("-id").values_list("author_id", flat=True).first()


def action_failed(facts: DealFacts, reader: Reader) -> Message:
    wanted = facts.data("action").replace("_", " ") or "act"
    return facts.write(
        reader,
        subject=f"Your request to {wanted} in {facts.title} did not go through",
        heading="Your request did not go through",
        lines=(
            f"You asked to {wanted}. The blockchain did not accept it, so nothing has changed and no money has moved.",
            "Please look at the transaction and try again if it still makes sense.",
        ),
        quote=("The blockchain answered", facts.data("reason")),
        action="See the transaction",
    )


def signatures_revoked(facts: DealFacts, reader: Reader) -> Message:
    return facts.write(
        reader,
        subject=f"Signatures for {facts.title} were revoked",
        heading="One party revoked its signatures",
        lines=(
            "Every signature that this party had given for the agreement is void from now on. "
            "Money that is in escrow stays there under the same rules.",
            "If that was you and you did not mean it, please look at your wallet.",
        ),
        facts=(("Wallet", facts.data("party")),),
    )
