"""The words about a reader's own account."""

from notifications import links
from notifications.message import Message, one_line
from users.models import User, VerificationRequest


def welcome(user: User) -> Message:
    return Message(
        subject="Welcome to the escrow platform",
        heading=f"Welcome, {one_line(str(user), length=60)}",
        lines=(
            "Your account is ready. You can propose an agreement to somebody, or answer one that was proposed to you.",
            "The money of an agreement waits in a smart contract and moves only by the rules that both parties signed. "
            "We never hold it, and we never ask you for the key of your wallet.",
        ),
        action_label="Open your transactions",
        action_url=links.dashboard(),
        reason="You receive this mail because an account was opened with this address.",
    )


def verification(user: User, status: str, request: VerificationRequest | None) -> Message:
    subject, heading, lines, action = {
        "PENDING": (
            "Your seller verification is under review",
            "Your verification is under review",
            (
                "We have your documents, and a reviewer is going to look at them.",
                "You do not have to do anything. We write again once it is decided.",
            ),
            "See your verification",
        ),
        "VERIFIED": (
            "You are verified as a seller",
            "You are verified",
            ("A reviewer has checked your documents, and your account counts as verified from now on.",),
            "See your verification",
        ),
        "REJECTED": (
            "Your seller verification was not approved",
            "Your verification was not approved",
            (
                "A reviewer has looked at your documents and could not approve them.",
                "You can send others at any time. Agreements that are under way are not touched by this.",
            ),
            "Send other documents",
        ),
    }[status]
    reason = request.reason.strip() if request is not None and status == "REJECTED" else ""
    return Message(
        subject=subject,
        heading=heading,
        lines=lines,
        quote=("The reviewer wrote", reason) if reason else None,
        action_label=action,
        action_url=links.verification_page(),
        reason="You receive this mail because you asked to be verified as a seller.",
    )
