"""The portal's words: what a status, an event, an action and a refusal are called when a person reads them."""

from dataclasses import dataclass

from common.clock import words_for_seconds
from transactions.errors import DomainError
from transactions.models import ActionIntent, EscrowTransaction, Event, Milestone
from transactions.rules import Action, MilestoneStatus, Money, TransactionStatus


@dataclass(frozen=True)
class Badge:
    """A short label and its tone: calm, accent, good, warn, bad or unfunded (classes of portal.css)."""

    label: str
    tone: str = "calm"


_T, _M = TransactionStatus, MilestoneStatus

TRANSACTION_BADGES = {
    _T.DRAFT: Badge("Draft"),
    _T.PENDING_FUNDING: Badge("Waiting for acceptance", "accent"),
    _T.AWAITING_PAYMENT: Badge("Waiting for payment", "warn"),
    _T.IN_ESCROW: Badge("Money in escrow", "accent"),
    _T.WORK_IN_PROGRESS: Badge("Work in progress", "accent"),
    _T.DISPUTED: Badge("In dispute", "bad"),
    _T.COMPLETED: Badge("Completed", "good"),
    _T.CANCELLED: Badge("Cancelled"),
    _T.EXPIRED: Badge("Expired"),
    _T.REFUNDED: Badge("Refunded"),
    _T.CLOSED: Badge("Closed", "good"),
}

_MONEY_BADGES = {
    Money.RELEASED: Badge("Paid to the seller", "good"),
    Money.REFUNDED: Badge("Returned to the buyer"),
    Money.SPLIT: Badge("Split", "good"),
}

_MILESTONE_BADGES = {
    _M.PENDING: Badge("Ready for work", "accent"),
    _M.AWAITING_REVIEW: Badge("Waiting for review", "accent"),
    _M.REVISION_REQUESTED: Badge("Changes requested", "warn"),
    _M.DISPUTED: Badge("In dispute", "bad"),
    _M.COMPLETED: Badge("Completed", "good"),
    _M.REFUNDED: Badge("Returned to the buyer"),
    _M.CANCELLED: Badge("Cancelled"),
}


def transaction_badge(deal: EscrowTransaction) -> Badge:
    """What to call the state of a deal."""
    return TRANSACTION_BADGES[TransactionStatus(deal.status)]


def milestone_badge(milestone: Milestone) -> Badge:
    """What to call the state of a milestone: where its money went, once that is settled; else where the work is."""
    if milestone.status == _M.CANCELLED:
        return _MILESTONE_BADGES[_M.CANCELLED]
    if milestone.money == Money.UNFUNDED:
        return Badge("Not paid in yet", "calm")
    settled = _MONEY_BADGES.get(Money(milestone.money))
    return settled or _MILESTONE_BADGES[MilestoneStatus(milestone.status)]


@dataclass(frozen=True)
class ActionWords:
    """How an action is offered and explained. `button` on the page, `sign` on the confirm page, `done` afterwards."""

    button: str
    title: str
    sign: str
    done: str
    style: str = ""  # "", "plain" or "danger"


_SENT = "It was sent to the vault and takes effect once the chain has confirmed it."

ACTION_WORDS = {
    Action.EDIT: ActionWords("Change the draft", "Change the draft", "Save", "The draft was saved.", "plain"),
    Action.PROPOSE: ActionWords(
        "Review and sign", "Sign the terms and send them", "Sign and send", "Signed and sent to the other party."
    ),
    Action.ACCEPT: ActionWords(
        "Review and accept",
        "Accept the terms",
        "Sign and accept",
        "You have accepted. Both have signed the same terms.",
    ),
    Action.DECLINE: ActionWords("Decline", "Decline the terms", "Decline", "You have declined the terms.", "danger"),
    Action.CANCEL: ActionWords(
        "Call it off", "Call the agreement off", "Call it off", "The agreement is called off.", "danger"
    ),
    Action.FUND: ActionWords("Pay into the vault", "Pay into the vault", "Sign and pay", f"Payment signed. {_SENT}"),
    Action.SUBMIT: ActionWords("Hand in work", "Hand in work", "Sign and hand in", f"Your work is handed in. {_SENT}"),
    Action.APPROVE: ActionWords("Approve and pay", "Approve and pay the seller", "Sign and pay", f"Approved. {_SENT}"),
    Action.REQUEST_CHANGES: ActionWords(
        "Request changes", "Request changes", "Sign and request", f"Changes requested. {_SENT}", "plain"
    ),
    Action.EXTEND: ActionWords(
        "Grant more time", "Grant more time", "Sign the new date", f"More time granted. {_SENT}", "plain"
    ),
    Action.RECLAIM: ActionWords(
        "Take the money back", "Take the money back", "Sign and take back", f"Reclaimed. {_SENT}", "plain"
    ),
    Action.REFUND: ActionWords(
        "Refund the buyer", "Refund the buyer", "Sign and refund", f"Refund signed. {_SENT}", "danger"
    ),
    Action.DISPUTE: ActionWords(
        "Open a dispute", "Open a dispute", "Sign and call the arbiter", f"Dispute opened. {_SENT}", "danger"
    ),
    Action.RESOLVE: ActionWords("Decide", "Decide the dispute", "Sign the decision", f"Decision signed. {_SENT}"),
    Action.REVIEW: ActionWords("Leave a review", "Leave a review", "Publish the review", "Thank you for your review."),
}

# In these the platform acts for everybody once the deadline is over; there is nothing to sign and so no button.
CLOCK_WORDS = {
    Action.CLAIM: "The review window is over. The platform is asking the vault to pay the seller.",
    Action.TIME_OUT: "The arbiter's time is over. The platform is asking the vault to apply the agreed split.",
}

INTENT_VERBS = {
    Action.FUND: "Payment into the vault",
    Action.SUBMIT: "Handing in the work",
    Action.APPROVE: "Payment to the seller",
    Action.REQUEST_CHANGES: "Request for changes",
    Action.CLAIM: "Payment to the seller after the review window",
    Action.EXTEND: "New date",
    Action.RECLAIM: "Return of the money to the buyer",
    Action.REFUND: "Refund to the buyer",
    Action.DISPUTE: "Dispute",
    Action.RESOLVE: "The arbiter's decision",
    Action.TIME_OUT: "Split after the arbiter's time",
}

INTENT_STATES = {
    ActionIntent.Status.REQUESTED: "signed, about to be sent",
    ActionIntent.Status.SENT: "sent, waiting for confirmation",
    ActionIntent.Status.SEEN: "seen on the chain, waiting until it is final",
    ActionIntent.Status.DONE: "final",
    ActionIntent.Status.FAILED: "refused by the chain",
    ActionIntent.Status.VOIDED: "overtaken by something else",
}


def consequences(action: Action, deal: EscrowTransaction, milestone: Milestone | None) -> list[str]:
    """What will happen if this is signed, in sentences. Nothing a person types goes in here but titles and names."""
    money = deal.token.format(milestone.amount_units) if milestone else ""
    review, revision = words_for_seconds(deal.review_seconds), words_for_seconds(deal.revision_seconds)
    arbitration = words_for_seconds(deal.arbitration_seconds)
    match action:
        case Action.PROPOSE:
            other = deal.seller if deal.author_id == deal.buyer_id else deal.buyer
            return [
                "You sign these terms as they stand; they can no longer be changed.",
                f"{other} is told by e-mail and can accept or decline them.",
                "No money moves now.",
            ]
        case Action.ACCEPT:
            return [
                "You sign exactly the terms that the other party has signed.",
                "The agreement is then made. No money moves now: the next step is the buyer's payment into the vault.",
            ]
        case Action.FUND:
            return [
                "The money leaves your wallet and is locked in the vault contract, not with us.",
                f"It can only go to {deal.seller}, back to you, or be split by {deal.arbiter} if you disagree.",
            ]
        case Action.SUBMIT:
            return [
                "A fingerprint of your note and files is written to the chain, so that nobody can exchange them later.",
                f"{deal.buyer} then has {review} to approve, to ask for changes or to open a dispute.",
                f"If there is no answer in that time, {money} are paid to you.",
            ]
        case Action.APPROVE:
            return [
                f"{money} are paid from the vault to {deal.seller}.",
                "This is final: a payment cannot be called back.",
            ]
        case Action.REQUEST_CHANGES:
            left = deal.max_revisions - (milestone.change_requests if milestone else 0) - 1
            rounds = "This is the last round that was agreed." if left == 0 else f"{left} more such rounds are agreed."
            return [f"{deal.seller} has {revision} to hand in the work again.", f"No money moves. {rounds}"]
        case Action.EXTEND:
            return [f"{deal.seller} may hand in the work until the new date.", "No money moves."]
        case Action.RECLAIM:
            return [f"{money} go from the vault back to you. The milestone is over."]
        case Action.REFUND:
            return [
                f"{money} go from the vault back to {deal.buyer}. The milestone is over.",
                "This is final: you will not be paid for it.",
            ]
        case Action.DISPUTE:
            share = f"{deal.timeout_seller_bps / 100:g} %"
            return [
                f"{deal.arbiter} is asked to decide how {money} are split between the two of you.",
                "This milestone's clocks stand still; the others go on.",
                f"Without a decision within {arbitration}, {share} go to the seller, the rest to the buyer.",
            ]
        case Action.RESOLVE:
            return ["The milestone is split as you decide, at once and finally. You yourself receive nothing."]
        case Action.CANCEL | Action.DECLINE:
            return ["The agreement ends here. No money has moved."]
    return []


EVENT_WORDS = {
    "transaction.created": "drafted the agreement",
    "transaction.edited": "changed the draft",
    "transaction.proposed": "signed the terms and proposed them",
    "transaction.accepted": "signed the same terms: the agreement is made",
    "transaction.declined": "declined the terms",
    "transaction.cancelled": "called the agreement off",
    "transaction.expired": "The agreement expired",
    "transaction.funded": "Money arrived in the vault",
    "transaction.completed": "Everything is settled",
    "transaction.refunded": "All the money went back to the buyer",
    "transaction.closed": "The agreement is closed",
    "milestone.funded": "Paid into the vault",
    "milestone.submitted": "Work handed in",
    "milestone.changes_requested": "Changes requested",
    "milestone.released": "Paid to the seller",
    "milestone.extended": "More time granted",
    "milestone.refunded": "Returned to the buyer",
    "milestone.split": "Split between buyer and seller",
    "milestone.disputed": "Dispute opened",
    "milestone.cancelled": "Cancelled: it was never paid for",
    "dispute.resolved": "The dispute is decided",
    "review.left": "left a review",
    "signatures.revoked": "All signatures given so far by one party were withdrawn",
}


def event_words(event: Event, deal: EscrowTransaction) -> str:
    """One sentence for the timeline. `deal` with its milestones prefetched."""
    sentence = _event_sentence(event, deal)
    if event.name == "transaction.funded":
        numbers = event.data.get("milestones", [])
        titles = [m.title for m in deal.milestones.all() if m.position in numbers]
        return f"{sentence}: {', '.join(titles)}"
    return f"{sentence}: {event.milestone.title}" if event.milestone else sentence


def _event_sentence(event: Event, deal: EscrowTransaction) -> str:
    if event.name == "action.requested":
        what = _request_words(event)
        return f"{what}, signed by {event.actor}" if event.actor else f"{what}, started by the deadline"
    if event.name == "action.failed":
        return f"{_request_words(event)} was refused by the chain"
    if event.name == "transaction.funded":
        return f"{deal.token.format(int(event.data.get('amount_units', 0)))} arrived in the vault"
    if event.name == "milestone.released" and event.data.get("claimed"):
        return "Paid to the seller, because the review window passed"
    if event.name == "milestone.refunded" and event.data.get("reclaimed"):
        return "Returned to the buyer, because the date passed"
    words = EVENT_WORDS.get(event.name, event.name.replace(".", " ").replace("_", " "))
    return f"{event.actor} {words}" if event.actor and words[:1].islower() else words[:1].upper() + words[1:]


def _request_words(event: Event) -> str:
    action = str(event.data.get("action", ""))
    return INTENT_VERBS[Action(action)] if action in list(Action) else action.replace("_", " ")


_ERROR_SENTENCES = {
    "email_taken": "There is an account with this address already. Do you want to log in?",
    "action_pending": "This has been asked for already and is waiting for the chain. There is nothing more to do now.",
    "signature_mismatch": "That signature does not belong to the wallet named in the terms, or is for something else.",
    "signature_expired": "The signature is too old. Please sign again.",
    "chain_unavailable": "The blockchain cannot be reached right now. Nothing was changed; please try again later.",
    "not_a_party": "Only the buyer, the seller and the arbiter of an agreement can do this.",
    "wallet_missing": "The other side has no wallet yet, so the terms cannot say where money goes. Ask for one.",
    "unknown_transaction": "There is no such page, or it is not yours to see.",
    "not_found": "There is no such page, or it is not yours to see.",
}


def error_sentence(error: DomainError) -> str:
    """One friendly sentence for a refusal: ours where the domain's would be terse, else the domain's own."""
    sentence = _ERROR_SENTENCES.get(error.code)
    if sentence is None:
        text = error.message.strip() or "this cannot be done"
        sentence = text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
    return sentence
