"""The portal's addresses. A milestone is numbered from 1 in them, as people count."""

from django.urls import path

from portal import (
    accounts,
    actions,
    agreements,
    dashboard,
    disputes,
    documents,
    front_door,
    mailbox,
    transactions,
    verification,
    wallets,
)

app_name = "portal"

urlpatterns = [
    path("", front_door.front_door, name="front_door"),
    path("favicon.ico", front_door.favicon),
    path("register/", accounts.register, name="register"),
    path("log-in/", accounts.LogIn.as_view(), name="log_in"),
    path("log-out/", accounts.LogOut.as_view(), name="log_out"),
    path("account/", accounts.account, name="account"),
    path("overview/", dashboard.dashboard, name="dashboard"),
    path("transactions/new/", agreements.new, name="new_agreement"),
    path("transactions/<int:transaction_id>/", transactions.detail, name="transaction"),
    path("transactions/<int:transaction_id>/news/", transactions.news, name="transaction_news"),
    path("transactions/<int:transaction_id>/edit/", agreements.edit, name="edit"),
    path("transactions/<int:transaction_id>/propose/", agreements.sign_terms, {"action": "propose"}, name="propose"),
    path("transactions/<int:transaction_id>/accept/", agreements.sign_terms, {"action": "accept"}, name="accept"),
    path("transactions/<int:transaction_id>/decline/", agreements.end, {"action": "decline"}, name="decline"),
    path("transactions/<int:transaction_id>/cancel/", agreements.end, {"action": "cancel"}, name="cancel"),
    path("transactions/<int:transaction_id>/review/", agreements.review, name="review"),
    path("transactions/<int:transaction_id>/fund/", actions.enter, {"action": "fund"}, name="fund"),
    path("transactions/<int:transaction_id>/fund/sign/", actions.sign, {"action": "fund"}, name="sign_fund"),
    path("transactions/<int:transaction_id>/milestones/<int:number>/<slug:action>/", actions.enter, name="action"),
    path(
        "transactions/<int:transaction_id>/milestones/<int:number>/<slug:action>/sign/",
        actions.sign,
        name="sign_action",
    ),
    path("documents/<int:document_id>/", documents.download, name="document"),
    path("disputes/", disputes.desk, name="disputes"),
    path("wallet/", wallets.wallet, name="wallet"),
    path("wallet/sandbox/", wallets.create_sandbox, name="create_sandbox_wallet"),
    path("wallet/test-money/", wallets.test_money, name="test_money"),
    path("wallet/link/", wallets.link, name="link_wallet"),
    path("verification/", verification.seller, name="verification"),
    path("verification/queue/", verification.queue, name="verification_queue"),
    path("verification/<int:request_id>/", verification.decide, name="verification_request"),
    path("mailbox/", mailbox.list_messages, name="mailbox"),
    path("mailbox/messages.json", mailbox.messages_json, name="mailbox_json"),
    path("mailbox/<str:key>/", mailbox.message, name="mailbox_message"),
    path("mailbox/<str:key>/html/", mailbox.message_html, name="mailbox_html"),
]
