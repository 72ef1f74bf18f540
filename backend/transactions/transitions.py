"""The table of rules as a page for people: docs/reference/transitions.md is printed from it."""

from transactions import rules

HEADER = """# Transitions

Printed from `backend/transactions/rules.py` by `python manage.py print_transitions`; a test keeps it true.

Who: BUYER, SELLER, ARBITER, and CLOCK, which is the platform acting for anyone because a deadline passed.
*On chain*: the vault decides, so the request is signed and becomes pending, and the status moves when the chain has
spoken finally. The clock is the vault's: *before* or *after* the deadline that runs on the milestone; *grace* is a
further review window.

| action | who | transaction | milestone | money | clock | on chain | leads to | meaning |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""

FACTS = """
## What the chain says

Facts never refuse: parties may act on the vault directly, and the mirror follows.

| fact | milestone becomes | money |
| --- | --- | --- |
"""

FOOTER = """
A split is `released` when all of it goes to the seller and `refunded` when nothing does. The transaction's own status
is derived from its milestones: DISPUTED while any is disputed; IN_ESCROW while none was touched; WORK_IN_PROGRESS
after that; COMPLETED when every milestone has ended and something was paid to the seller, else REFUNDED; CLOSED when
both reviews are in or 14 days have passed.
"""


def transitions_page() -> str:
    """The whole page as Markdown."""
    order = list(rules.TransactionStatus), list(rules.MilestoneStatus)
    lines = [
        "| "
        + " | ".join(
            [
                f"`{rule.action}`",
                ", ".join(role for role in rules.Role if role in rule.roles),
                ", ".join(status for status in order[0] if status in rule.transaction_statuses),
                ", ".join(status for status in order[1] if status in rule.milestone_statuses) or "-",
                rule.money or "-",
                "-" if rule.clock is rules.Clock.NONE else rule.clock,
                "yes" if rule.on_chain else "-",
                rule.leads_to or "-",
                rule.words,
            ]
        )
        + " |"
        for rule in rules.RULES
    ]
    facts = [f"| {fact} | {status} | {money} |" for fact, (status, money) in rules.FACT_OUTCOMES.items()]
    return HEADER + "\n".join(lines) + "\n" + FACTS + "\n".join(facts) + "\n" + FOOTER
