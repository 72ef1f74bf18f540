"""The words about one milestone. Each function writes one type of message for one reader."""

from notifications.catalogue.facts import DealFacts, Reader
from notifications.message import Message, one_line
from transactions.models import Dispute, Submission
from transactions.rules import Role


def submitted(facts: DealFacts, reader: Reader) -> Message:
    ends = facts.moment("review_ends_at", facts.about.deadline_at)
    seller, buyer = facts.name_of(Role.SELLER), facts.name_of(Role.BUYER)
    amount = facts.money(facts.about.amount_units)
    submission = facts.about.submissions.filter(round=facts.round, confirmed_at__isnull=False).first()
    files = [one_line(name, length=60) for name in _filenames(submission)]
    rows = (
        ("Amount", amount),
        ("Submission", f"number {facts.round}"),
        *((("Files", ", ".join(files)),) if files else ()),
        ("Review until", reader.when(ends)),
    )
    quote = (f"{'You' if reader.role is Role.SELLER else seller} wrote", submission.note if submission else "")
    if reader.role is Role.BUYER:
        return facts.write(
            reader,
            subject=f"Please review {facts.part} by {reader.day(ends)}",
            heading=f"{seller} handed in work",
            lines=(
                "Please look at it, then approve it, ask for changes or call the arbiter.",
                f"Without an answer by {reader.when(ends)}, {amount} is paid to {seller}.",
            ),
            facts=rows,
            quote=quote,
            action="Review the work",
        )
    return facts.write(
        reader,
        subject=f"Your work on {facts.part} was handed in",
        heading="Your work was handed in",
        lines=(
            f"{buyer} has until {reader.when(ends)} to approve it, to ask for changes or to call the arbiter.",
            f"Without an answer by then, {amount} is paid to you.",
        ),
        facts=rows,
        quote=quote,
    )


def _filenames(submission: Submission | None) -> list[str]:
    return [] if submission is None else [document.filename for document in submission.documents.order_by("id")]


def changes_requested(facts: DealFacts, reader: Reader) -> Message:
    ends = facts.moment("revision_ends_at", facts.about.deadline_at)
    buyer, seller = facts.name_of(Role.BUYER), facts.name_of(Role.SELLER)
    request = facts.about.change_request_rows.filter(round=facts.round, confirmed_at__isnull=False).first()
    left = max(0, facts.deal.max_revisions - facts.about.change_requests)
    rows = (
        ("Amount", facts.money(facts.about.amount_units)),
        ("Hand in again until", reader.when(ends)),
        ("Rounds of changes left", str(left)),
    )
    reason = request.reason if request else ""
    if reader.role is Role.SELLER:
        return facts.write(
            reader,
            subject=f"{buyer} asks for changes to {facts.part}",
            heading=f"{buyer} asks for changes",
            lines=(
                f"Please hand in the changed work by {reader.when(ends)}. "
                f"After that date {buyer} may take the milestone's money back.",
                "If you think that the work is as agreed, you can call the arbiter instead, by the same date.",
            ),
            facts=rows,
            quote=(f"{buyer} wrote", reason),
            action="See what to change",
        )
    return facts.write(
        reader,
        subject=f"You asked {seller} for changes to {facts.part}",
        heading="Your request for changes was recorded",
        lines=(f"{seller} has until {reader.when(ends)} to hand in again. The milestone's money stays in escrow.",),
        facts=rows,
        quote=("You wrote", reason),
    )


def released(facts: DealFacts, reader: Reader) -> Message:
    milestone = facts.about
    amount, fee = facts.money(milestone.seller_units), facts.money(milestone.fee_units)
    net = facts.money(milestone.seller_units - milestone.fee_units)
    buyer, seller = facts.name_of(Role.BUYER), facts.name_of(Role.SELLER)
    claimed = facts.data("claimed") == "True"
    rows = (("Amount", amount),) + ((("Fee", fee), ("Paid out", net)) if milestone.fee_units else ())
    if reader.role is Role.SELLER:
        return facts.write(
            reader,
            subject=f"You were paid {net} for {facts.part}",
            heading="You were paid",
            lines=(
                f"The time to review ran out without an answer from {buyer}, so the milestone was paid to you."
                if claimed
                else f"{buyer} approved the milestone.",
                f"The blockchain has confirmed it: {net} was paid out to you.",
            ),
            facts=rows,
            action="See the payment",
        )
    return facts.write(
        reader,
        subject=f"{amount} was paid to {seller} for {facts.part}",
        heading="A milestone was paid",
        lines=(
            f"Your time to review ran out, so the milestone was paid to {seller}, as the terms say."
            if claimed
            else "You approved the milestone.",
            f"The blockchain has confirmed it: the milestone's {amount} has left escrow.",
        ),
        facts=rows,
        action="See the payment",
    )


def extended(facts: DealFacts, reader: Reader) -> Message:
    until = facts.moment("until", facts.about.deadline_at)
    mine = reader.role is Role.BUYER
    seller = facts.name_of(Role.SELLER)
    return facts.write(
        reader,
        subject=f"{facts.part}: more time, until {reader.day(until)}",
        heading=f"{seller} has more time" if mine else "You have more time",
        lines=(f"{'You' if mine else facts.name_of(Role.BUYER)} granted a later date: {reader.when(until)}.",),
        facts=(("Amount", facts.money(facts.about.amount_units)), ("New date", reader.when(until))),
    )


def milestone_refunded(facts: DealFacts, reader: Reader) -> Message:
    amount = facts.money(facts.about.buyer_units)
    reclaimed = facts.data("reclaimed") == "True"
    seller, buyer = facts.name_of(Role.SELLER), facts.name_of(Role.BUYER)
    mine = reader.role is Role.BUYER
    why = (
        "The date to deliver passed without work being handed in."
        if reclaimed
        else f"{'You' if reader.role is Role.SELLER else seller} gave the money back."
    )
    return facts.write(
        reader,
        subject=f"{amount} for {facts.part} went back to {'you' if mine else buyer}",
        heading="A milestone was refunded",
        lines=(
            why,
            f"The blockchain has confirmed it: {amount} was paid back to {'you' if mine else buyer}.",
        ),
        facts=(("Paid back to the buyer", amount),),
    )


def milestone_cancelled(facts: DealFacts, reader: Reader) -> Message:
    return facts.write(
        reader,
        subject=f"{facts.part} was never paid and is cancelled",
        heading="A milestone is cancelled",
        lines=("Its delivery date passed before it was paid into escrow. The other milestones go on.",),
        facts=(("Amount", facts.money(facts.about.amount_units)),),
    )


def disputed(facts: DealFacts, reader: Reader) -> Message:
    dispute = facts.dispute
    ends = facts.moment("arbitration_ends_at", facts.about.deadline_at)
    arbiter = facts.name_of(Role.ARBITER)
    opener = str(dispute.opened_by) if dispute is not None and dispute.opened_by is not None else "One of the parties"
    mine = dispute is not None and dispute.opened_by == reader.user
    amount = facts.money(facts.about.amount_units)
    share = facts.deal.timeout_seller_bps / 100
    rows = (("Amount", amount), ("Called by", opener), ("To be decided by", reader.when(ends)))
    quote = (f"{'You' if mine else opener} wrote", dispute.reason if dispute is not None else "")
    silence = f"Without a decision by {reader.when(ends)}, {share:g} % goes to the seller and the rest to the buyer."
    if reader.role is Role.ARBITER:
        return facts.write(
            reader,
            subject=f"Please decide a dispute over {facts.part}: {amount}",
            heading="You are asked to decide",
            lines=(
                f"{facts.name_of(Role.BUYER)} and {facts.name_of(Role.SELLER)} disagree over a milestone. "
                "Please read both sides and split its money between them.",
                silence,
            ),
            facts=rows,
            quote=quote,
            action="Read the case",
        )
    return facts.write(
        reader,
        subject=f"{'You' if mine else opener} called the arbiter over {facts.part}",
        heading="You called the arbiter" if mine else f"{opener} called the arbiter",
        lines=(
            f"{arbiter} decides how this milestone's money is split. Its clocks stand still; the others go on.",
            silence,
        ),
        facts=rows,
        quote=quote,
    )


RESOLUTIONS = {
    "resolved": "{arbiter} has decided, and the blockchain has confirmed the payments.",
    "timed_out": "{arbiter} did not decide in time, so the split that your terms provide for was paid out.",
    "settled": "The two parties agreed on a split, and the blockchain has confirmed the payments.",
}
ENDINGS = {
    Dispute.Status.RESOLVED: "resolved",
    Dispute.Status.TIMED_OUT: "timed_out",
    Dispute.Status.SETTLED: "settled",
}


def resolved(facts: DealFacts, reader: Reader) -> Message:
    milestone, dispute = facts.about, facts.dispute
    ending = ENDINGS.get(Dispute.Status(dispute.status), "settled") if dispute is not None else "settled"
    how = RESOLUTIONS[facts.data("how") or ending].format(arbiter=facts.name_of(Role.ARBITER))
    net, back = facts.money(milestone.seller_units - milestone.fee_units), facts.money(milestone.buyer_units)
    rows: tuple[tuple[str, str], ...] = (
        ("Amount", facts.money(milestone.amount_units)),
        (f"To {facts.name_of(Role.SELLER)}, the seller", net),
        (f"To {facts.name_of(Role.BUYER)}, the buyer", back),
    )
    rows += (("Fee", facts.money(milestone.fee_units)),) if milestone.fee_units else ()
    what = f"The dispute over {facts.part} is over" if dispute is not None else f"{facts.part} is settled"
    yours = {Role.BUYER: f": {back} goes to you", Role.SELLER: f": {net} goes to you", Role.ARBITER: ""}[reader.role]
    return facts.write(
        reader,
        subject=what + yours,
        heading="The dispute is over" if dispute is not None else "The milestone is settled",
        lines=(how, "The decision is final. The other milestones are not touched by it."),
        facts=rows,
        quote=("The reason given", dispute.decision if dispute is not None else ""),
    )


def overdue(facts: DealFacts, reader: Reader) -> Message:
    since = facts.about.deadline_at or facts.about.deliver_by
    buyer = facts.name_of(Role.BUYER)
    return facts.write(
        reader,
        subject=f"Overdue: {facts.part} was due on {reader.day(since)}",
        heading="A milestone is overdue",
        lines=(
            f"The money is in escrow, and {buyer} waits for your work. Past its date the milestone can no longer be "
            f"handed in unless {buyer} grants a later date; until then {buyer} may take the money back.",
            f"Please talk to {buyer}: ask for more time, or give the money back if you cannot do the work.",
        ),
        facts=(("Amount", facts.money(facts.about.amount_units)), ("Was due", reader.when(since))),
        action="See the milestone",
    )
