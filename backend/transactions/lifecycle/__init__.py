"""Every transition of an escrow transaction, written once. API, portal, tasks, admin and chain events call these.

Requests (people, the clock) are checked against `transactions.rules`; facts of the chain (`record_*`) never refuse.
Each verb opens its own database transaction, takes the row locks in the order of `transactions.locks`, and writes
the audit event and what must follow (outbox rows) in the same database transaction.
"""

from transactions.lifecycle.actions import (
    ActionInputs,
    PreparedAction,
    mark_intent_failed,
    mark_intent_seen,
    mark_intent_sent,
    prepare_action,
    request_action,
)
from transactions.lifecycle.agreement import (
    MilestoneDraft,
    accept,
    acceptance_message,
    cancel,
    decline,
    draft_transaction,
    edit_draft,
    propose,
)
from transactions.lifecycle.clocks import apply_deadlines
from transactions.lifecycle.facts import (
    record_changes_requested,
    record_disputed,
    record_extended,
    record_funded,
    record_refunded,
    record_released,
    record_signatures_revoked,
    record_split,
    record_submitted,
)
from transactions.lifecycle.reviews import leave_review

__all__ = [
    "ActionInputs",
    "MilestoneDraft",
    "PreparedAction",
    "accept",
    "acceptance_message",
    "apply_deadlines",
    "cancel",
    "decline",
    "draft_transaction",
    "edit_draft",
    "leave_review",
    "mark_intent_failed",
    "mark_intent_seen",
    "mark_intent_sent",
    "prepare_action",
    "propose",
    "record_changes_requested",
    "record_disputed",
    "record_extended",
    "record_funded",
    "record_refunded",
    "record_released",
    "record_signatures_revoked",
    "record_split",
    "record_submitted",
    "request_action",
]
