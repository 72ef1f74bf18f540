"""The API's addresses, version 1. Every route stands in the permission matrix of the tests."""

from django.urls import URLPattern, path, re_path

from api import (
    accounts,
    actions,
    asynchronous,
    deployment,
    disputes,
    documents,
    intents,
    milestones,
    notifications,
    root,
    sellers,
    transactions,
    unknown,
    wallets,
)

app_name = "api"


def _signed(noun: str, name: str, views: tuple[object, object]) -> list[URLPattern]:
    """`POST <noun>/<id>/<name>/prepare/` and `POST <noun>/<id>/<name>/`."""
    prepare, request = views
    base, label = f"{noun}/<int:object_id>/{name}/", f"{noun.rstrip('s')}-{name}"
    return [
        path(f"{base}prepare/", prepare, name=f"{label}-prepare"),  # type: ignore[call-overload]
        path(base, request, name=label),  # type: ignore[call-overload]
    ]


urlpatterns = [
    path("", root.Root.as_view(), name="root"),
    path("accounts/", accounts.Accounts.as_view(), name="accounts"),
    path("account/", accounts.Account.as_view(), name="account"),
    path("tokens/", accounts.Tokens.as_view(), name="tokens"),
    path("tokens/<int:token_id>/", accounts.Token.as_view(), name="token"),
    path("arbiters/", accounts.Arbiters.as_view(), name="arbiters"),
    path("deployment/", deployment.Deployment.as_view(), name="deployment"),
    path("wallets/", wallets.Wallets.as_view(), name="wallets"),
    path("wallets/challenge/", wallets.Challenges.as_view(), name="wallet-challenge"),
    path("wallets/link/", wallets.Link.as_view(), name="wallet-link"),
    path("wallets/sandbox/", wallets.Sandbox.as_view(), name="wallet-sandbox"),
    path("wallets/sandbox/sign/", wallets.SandboxSign.as_view(), name="wallet-sandbox-sign"),
    path("wallets/<int:wallet_id>/primary/", wallets.Primary.as_view(), name="wallet-primary"),
    path("seller-profile/", sellers.Profile.as_view(), name="seller-profile"),
    path("seller-profile/verification/", sellers.HandIn.as_view(), name="seller-profile-verification"),
    path("verifications/", sellers.Verifications.as_view(), name="verifications"),
    path("verifications/<int:request_id>/", sellers.Verification.as_view(), name="verification"),
    path("verifications/<int:request_id>/decision/", sellers.Decision.as_view(), name="verification-decision"),
    path("documents/", documents.Documents.as_view(), name="documents"),
    path("documents/<int:document_id>/", documents.DocumentDetail.as_view(), name="document"),
    path("documents/<int:document_id>/download/", documents.Download.as_view(), name="document-download"),
    path("transactions/", transactions.Transactions.as_view(), name="transactions"),
    path("transactions/<int:object_id>/", transactions.TransactionDetail.as_view(), name="transaction"),
    path(
        "transactions/<int:object_id>/propose/prepare/",
        transactions.PrepareTerms.as_view(verb="propose"),
        name="transaction-propose-prepare",
    ),
    path(
        "transactions/<int:object_id>/propose/",
        transactions.SignTerms.as_view(verb="propose"),
        name="transaction-propose",
    ),
    path(
        "transactions/<int:object_id>/accept/prepare/",
        transactions.PrepareTerms.as_view(verb="accept"),
        name="transaction-accept-prepare",
    ),
    path(
        "transactions/<int:object_id>/accept/",
        transactions.SignTerms.as_view(verb="accept"),
        name="transaction-accept",
    ),
    path(
        "transactions/<int:object_id>/decline/",
        transactions.EndBeforeMoney.as_view(verb="decline"),
        name="transaction-decline",
    ),
    path(
        "transactions/<int:object_id>/cancel/",
        transactions.EndBeforeMoney.as_view(verb="cancel"),
        name="transaction-cancel",
    ),
    *_signed("transactions", "fund", actions.FUND),
    path("transactions/<int:object_id>/timeline/", transactions.Timeline.as_view(), name="transaction-timeline"),
    path("transactions/<int:object_id>/reviews/", transactions.Reviews.as_view(), name="transaction-reviews"),
    path("milestones/<int:object_id>/", milestones.MilestoneDetail.as_view(), name="milestone"),
    *_signed("milestones", "submit", actions.SUBMIT),
    *_signed("milestones", "approve", actions.APPROVE),
    *_signed("milestones", "request-changes", actions.REQUEST_CHANGES),
    *_signed("milestones", "dispute", actions.DISPUTE),
    *_signed("milestones", "extend", actions.EXTEND),
    *_signed("milestones", "refund", actions.REFUND),
    *_signed("milestones", "reclaim", actions.RECLAIM),
    path("disputes/", disputes.Disputes.as_view(), name="disputes"),
    path("disputes/<int:object_id>/", disputes.DisputeDetail.as_view(), name="dispute"),
    *_signed("disputes", "resolve", actions.RESOLVE),
    path("intents/<int:intent_id>/", intents.Intent.as_view(), name="intent"),
    path("notifications/", notifications.Notifications.as_view(), name="notifications"),
    path("tasks/<str:task_id>/", asynchronous.Task.as_view(), name="task"),
    re_path(r"^.*$", unknown.UnknownAddress.as_view(), name="unknown"),
]
