"""What the vault of a chain takes: the doors ask before two parties sign terms that it would refuse to fund."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from chain import deployments
from common.clock import utc_now, words_for_seconds
from transactions.errors import InvalidTerms
from transactions.models import EscrowTransaction

WINDOWS = ("review_seconds", "revision_seconds", "arbitration_seconds")


def check_deal(deal: EscrowTransaction) -> None:
    """Raise InvalidTerms, naming the field, if the vault would refuse this deal's windows or delivery dates."""
    check(
        chain_id=deal.chain_id,
        windows={name: getattr(deal, name) for name in WINDOWS},
        deliver_by=[milestone.deliver_by for milestone in deal.milestones.all()],
    )


def check(*, chain_id: int, windows: Mapping[str, int], deliver_by: Iterable[datetime]) -> None:
    """The same for values that are no deal yet. Windows in seconds by their field's name; dates aware."""
    deployment = deployments.current(chain_id)
    shortest, longest = deployment.min_window_seconds, deployment.max_window_seconds
    for name, seconds in windows.items():
        if not shortest <= seconds <= longest:
            limits = f"{words_for_seconds(shortest)} and {words_for_seconds(longest)}"
            raise InvalidTerms(f"{name} has to be between {limits}", field=name, limits=[shortest, longest])
    latest = utc_now() + timedelta(seconds=longest)
    for position, moment in enumerate(deliver_by):
        if moment > latest:
            raise InvalidTerms(
                f"milestone {position + 1} is to be delivered more than {words_for_seconds(longest)} from now",
                field="milestones",
                position=position,
            )
