"""`./escrow demo`: the main job from registration to a closed escrow, told as it happens, and every figure checked.

A client like any other: it talks to the public HTTP API with its own tokens and, for the seller, its own key. What it
checks in the end it reads from elsewhere: balances from the chain's node, mails from the mailbox.
"""

import hashlib
import json
import os
import secrets
import struct
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import policy
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import requests
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak
from rich.console import Console
from rich.table import Table

from embedded import configuration
from launcher.errors import LauncherError
from launcher.places import REPOSITORY
from launcher.stack import Stack, running_stack, say_on_stderr

PARTS = ("redis", "chain", "mail", "web", "worker", "beat")  # all but Flower, which only watches
POLL_SECONDS = 0.06
PATIENCE_SECONDS = 60.0
MAIL_SECONDS = 10.0
ANSWER_SECONDS = 30.0
AMOUNTS = ("400.00", "500.00", "350.50")
TITLES = ("Wireframes", "Pages", "Launch")
SELLERS_PART = "150.25"  # of the third milestone, as the arbiter decides
NARROW, WIDE = 100, 132
Json = dict[str, Any]


class DemoFailed(LauncherError):
    """Something did not go as it has to."""


def run(arguments: list[str]) -> int:
    """Play the whole life of an escrow; 0 if every check is true. Starts what does not run, stops what it started."""
    if arguments:
        raise LauncherError("`./escrow demo` takes no arguments")
    began = time.monotonic()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    with running_stack(PARTS, say=say_on_stderr) as stack:
        ready_seconds = time.monotonic() - began
        how = "started" if stack.started_here else "found running"
        console.print(f"The platform is {how} at {stack.public_url} ({ready_seconds:.1f} s).\n")
        demo = Demo(stack, console)
        demo.play()
        demo.read_mails(wait=True)
        demo.print_table()
        is_right = demo.print_checks()
        seconds = time.monotonic() - began
    verdict = "every figure is right" if is_right else "[bold red]something is off, see ✗ above[/]"
    console.print(
        f"\n{seconds:.1f} s from the command to the last check ({ready_seconds:.1f} s of it until the platform was "
        f"ready): {verdict}."
    )
    return 0 if is_right else 1


class Client:
    """One person at the API: a token, and problems told in one line."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name
        self.http = requests.Session()
        self.email = ""
        self.user_id = 0
        self.key: LocalAccount | None = None
        self.wallet = ""

    def call(self, method: str, path: str, *, expect: int | None = None, **options: Any) -> Any:
        """The JSON answer. Raises DemoFailed with the problem's own words."""
        headers = {}
        if method == "POST":
            headers["Idempotency-Key"] = secrets.token_hex(16)
        try:
            answer = self.http.request(
                method, f"{self.address}/api/v1/{path}", timeout=ANSWER_SECONDS, headers=headers, **options
            )
        except requests.RequestException as error:
            raise DemoFailed(f"{method} {path}: {type(error).__name__}") from error
        if expect is not None and answer.status_code == expect:
            return None
        if not answer.ok:
            try:
                problem = answer.json()
                reason = f"{problem['code']}: {problem['detail']}"
            except (ValueError, KeyError):
                reason = answer.text[:200]
            raise DemoFailed(f"{self.name}: {method} /api/v1/{path} was answered {answer.status_code}, {reason}")
        return (
            answer.json() if answer.headers.get("Content-Type", "").startswith("application/json") else answer.content
        )

    def get(self, path: str, **parameters: Any) -> Any:
        return self.call("GET", path, params=parameters)

    def post(self, path: str, data: Json | None = None) -> Any:
        return self.call("POST", path, json=data or {})

    def log_in(self, email: str, password: str) -> None:
        self.email = email
        token = self.post("tokens/", {"email": email, "password": password, "name": "demo", "lifetime_seconds": 3_600})
        self.http.headers["Authorization"] = f"Bearer {token['token']}"
        self.user_id = self.get("account/")["id"]

    def register(self, email: str, password: str, display_name: str) -> None:
        self.post("accounts/", {"email": email, "password": password, "display_name": display_name})
        self.log_in(email, password)

    def upload(self, filename: str, content: bytes, purpose: str) -> Json:
        """Upload a file and wait for its check, which the worker makes."""
        document: Json = self.call("POST", "documents/", files={"file": (filename, content)}, data={"purpose": purpose})

        def is_checked() -> bool:
            document.update(self.get(f"documents/{document['id']}/"))
            return bool(document["state"] != "RECEIVED")

        wait_until(is_checked, f"the check of {filename}")
        if document["state"] != "CLEAN":
            raise DemoFailed(f"{filename} was refused: {document['rejection_reason']}")
        return document

    def signed(self, path: str, entered: Json | None = None) -> Json:
        """Ask what to sign, sign it, send it: a sandbox wallet's signature is left to the platform."""
        prepared = self.post(f"{path}prepare/", entered)
        body = {**(entered or {}), "deadline": prepared["deadline"]}
        if self.key is not None:
            body["signature"] = self.sign(prepared["typed_data"], digest=prepared["digest"])
        answer: Json = self.post(path, body)
        return answer

    def sign(self, typed_data: Json, *, digest: str) -> str:
        """With the own key, over what was read and not over the digest that was told."""
        assert self.key is not None
        signed = self.key.sign_typed_data(full_message=typed_data)
        if bytes(signed.message_hash).hex() != digest.removeprefix("0x"):
            raise DemoFailed("the digest that the API told is not that of its message")
        return "0x" + bytes(signed.signature).hex()


@dataclass
class Step:
    """One row of the table."""

    words: str
    seconds: float = 0.0
    tx_hash: str = ""
    gas: int | None = None
    mails: int = 0


@dataclass
class Running:
    """A signed action on its way to the chain."""

    step: Step
    client: Client
    intent_id: int
    began: float


@dataclass
class Check:
    words: str
    is_right: bool
    found: str = ""


@dataclass
class Demo:
    """The story and what was noted of it."""

    stack: Stack
    console: Console
    steps: list[Step] = field(default_factory=list)
    mails: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tag = secrets.token_hex(3)
        self.title = f"Website for the bakery {self.tag}"
        self.address = self.stack.public_url
        people = ("buyer", "seller", "reviewer", "arbiter")
        self.buyer, self.seller, self.reviewer, self.arbiter = (Client(self.address, name) for name in people)
        rpc_url = self.stack.environment.get("RPC_URL") or configuration.stated(REPOSITORY).get("RPC_URL", "")
        if not rpc_url:
            raise LauncherError("the demo needs the chain, and RPC_URL is empty")
        self.node = Node(rpc_url)
        self.mailbox = Mailbox(self.stack.var / "mailbox") if "mail" in self.stack.parts else None
        self.deal: Json = {}
        self.before: dict[str, int] = {}

    # --- The story ---------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """From two strangers to a closed escrow."""
        self.meet()
        self.verify()
        self.agree()
        self.fund()
        self.work()
        self.part()

    def meet(self) -> None:
        logins = self._logins()
        with self.step("Bea (buyer) and Sol (seller) register; reviewer and arbiter log in"):
            password = secrets.token_urlsafe(16)
            at_once(
                lambda: self.buyer.register(f"bea.{self.tag}@example.com", password, "Bea Baker"),
                lambda: self.seller.register(f"sol.{self.tag}@example.com", password, "Sol Siteworks"),
                lambda: self.reviewer.log_in(*logins["reviewer"]),
                lambda: self.arbiter.log_in(*logins["arbiter"]),
            )
        self.deployment = self.buyer.get("deployment/")
        self.token = self.deployment["tokens"][0]
        with self.step("Bea gets a sandbox wallet with test USDC; Sol links a wallet of his own (EIP-4361)") as step:
            sandbox = self.buyer.post("wallets/sandbox/")
            self.buyer.wallet = sandbox["address"]
            if not self.arbiter.get("wallets/"):
                self.arbiter.post("wallets/sandbox/")
            self.seller.key = Account.create()
            challenge = self.seller.post("wallets/challenge/", {"address": self.seller.key.address})
            signed = self.seller.key.sign_message(encode_defunct(text=challenge["message"]))
            linked = self.seller.post(
                "wallets/link/", {"nonce": challenge["nonce"], "signature": "0x" + bytes(signed.signature).hex()}
            )
            self.seller.wallet = linked["address"]
            receipt = self.node.receipt(sandbox["funding_tx_hash"])
            step.tx_hash, step.gas = sandbox["funding_tx_hash"], int(receipt["gasUsed"], 16)

    def verify(self) -> None:
        with self.step("Sol hands in his passport (PDF); the worker checks the file, the reviewer decides"):
            passport = self.seller.upload("passport.pdf", pdf("Passport of Sol Siteworks"), "VERIFICATION")
            self.seller.call(
                "PUT", "seller-profile/", json={"legal_name": "Sol Siteworks", "kind": "INDIVIDUAL", "skills": ["web"]}
            )
            request = self.seller.post("seller-profile/verification/", {"document_ids": [passport["id"]]})
            shown = self.reviewer.get(f"documents/{passport['id']}/download/")
            if hashlib.sha256(shown).hexdigest() != passport["sha256"]:
                raise DemoFailed("the reviewer was shown another file than the one that was handed in")
            self.reviewer.post(f"verifications/{request['id']}/decision/", {"decision": "VERIFIED"})

    def agree(self) -> None:
        with self.step("Bea drafts an agreement with three milestones and signs it"):
            later = [(datetime.now(UTC) + timedelta(days=days)).isoformat() for days in (14, 28, 42)]
            milestones = [
                {"title": title, "amount": amount, "deliver_by": until}
                for title, amount, until in zip(TITLES, AMOUNTS, later, strict=True)
            ]
            self.deal = self.buyer.post(
                "transactions/",
                {
                    "author_role": "BUYER",
                    "counterparty_email": self.seller.email,
                    "arbiter_id": self.arbiter.user_id,
                    "title": self.title,
                    "description": "Three pages and a contact form, in the bakery's colours.",
                    "milestones": milestones,
                },
            )
            self.sign_terms(self.buyer, "propose")
        with self.step("Sol reads the same terms and signs them with his own wallet"):
            self.sign_terms(self.seller, "accept")

    def sign_terms(self, client: Client, action: str) -> None:
        path = f"transactions/{self.deal['id']}/{action}/"
        body: Json = {}
        if client.key is not None:
            prepared = client.post(f"{path}prepare/")
            body["signature"] = client.sign(prepared["typed_data"], digest=prepared["digest"])
        self.deal = client.post(path, body)

    def fund(self) -> None:
        self.before = self.balances()
        total = sum(map(Decimal, AMOUNTS))
        words = f"Bea funds all three with one signature over {total:,} test USDC (EIP-3009); the relayer pays the gas"
        self.finish([self.start(words, self.buyer, f"transactions/{self.deal['id']}/fund/")])

    def work(self) -> None:
        one, two, three = (f"milestones/{milestone['id']}/" for milestone in self.deal["milestones"])
        files = [
            self.seller.upload(name, content, "DELIVERABLE")["id"]
            for name, content in (
                ("wireframes.png", png(64, 48)),
                ("pages.pdf", pdf("Three pages, first version")),
                ("launch.txt", b"The site is up at its address.\n"),
            )
        ]
        self.delivered = files
        notes = ("All screens on one board.", "First version of the three pages.", "The site is live.")
        self.finish(
            [
                self.start(
                    f"Sol hands in milestone {number} with a file",
                    self.seller,
                    f"{path}submit/",
                    {"note": note, "document_ids": [document_id]},
                )
                for number, (path, note, document_id) in enumerate(zip((one, two, three), notes, files, strict=True), 1)
            ]
        )
        self.finish(
            [
                self.start("Bea approves milestone 1: it is paid out", self.buyer, f"{one}approve/"),
                self.start(
                    "Bea asks for changes to milestone 2",
                    self.buyer,
                    f"{two}request-changes/",
                    {"reason": "The contact form is missing on the third page."},
                ),
                self.start(
                    "Bea calls the arbiter over milestone 3",
                    self.buyer,
                    f"{three}dispute/",
                    {"reason": "The site is live, but at the wrong address."},
                ),
            ]
        )
        again = self.seller.upload("pages-2.pdf", pdf("Three pages with the form"), "DELIVERABLE")["id"]
        disputes = self.arbiter.get("disputes/", status="OPEN")["results"]
        [dispute] = [found for found in disputes if found["transaction_id"] == self.deal["id"]]
        entered = {"reason": "Live in time, and the address was never agreed: a part.", "seller_amount": SELLERS_PART}
        self.finish(
            [
                self.start(
                    "Sol hands in milestone 2 again",
                    self.seller,
                    f"{two}submit/",
                    {"note": "With the form.", "document_ids": [again]},
                ),
                self.start(
                    f"The arbiter splits milestone 3: {SELLERS_PART} to Sol, the rest back to Bea",
                    self.arbiter,
                    f"disputes/{dispute['id']}/resolve/",
                    entered,
                ),
            ]
        )
        self.finish([self.start("Bea approves milestone 2: it is paid out", self.buyer, f"{two}approve/")])

    def part(self) -> None:
        path = f"transactions/{self.deal['id']}/"
        with self.step("Both leave a review; the escrow is closed"):
            wait_until(lambda: self.buyer.get(path)["status"] == "COMPLETED", "the transaction to be COMPLETED")
            self.buyer.post(f"{path}reviews/", {"rating": 4, "text": "Good work, quick changes."})
            self.seller.post(f"{path}reviews/", {"rating": 5, "text": "Clear wishes, paid at once."})
            self.deal = self.buyer.get(path)

    # --- Telling -----------------------------------------------------------------------------------------------------

    @contextmanager
    def step(self, words: str) -> Iterator[Step]:
        """Something that ends with its answer."""
        step, began = Step(words), time.monotonic()
        yield step
        step.seconds = time.monotonic() - began
        self._tell(step)

    def start(self, words: str, client: Client, path: str, entered: Json | None = None) -> Running:
        """Something signed, on its way to the chain."""
        began = time.monotonic()
        intent = client.signed(path, entered)
        return Running(Step(words), client, intent["id"], began)

    def finish(self, running: Sequence[Running]) -> None:
        """Wait until the chain has spoken, finally, about each of them."""
        waiting = list(running)

        def all_done() -> bool:
            for item in list(waiting):
                intent = item.client.get(f"intents/{item.intent_id}/")
                if intent["status"] in ("FAILED", "VOIDED"):
                    raise DemoFailed(f"{item.step.words}: {intent['status']} {intent['failure']}")
                sent = intent["chain_transaction"] or {}
                if intent["status"] == "DONE" and sent.get("gas_used"):
                    item.step.seconds = time.monotonic() - item.began
                    item.step.tx_hash, item.step.gas = sent["tx_hash"], sent["gas_used"]
                    waiting.remove(item)
            return not waiting

        wait_until(all_done, "; ".join(item.step.words for item in running))
        for item in running:
            self._tell(item.step)

    def _tell(self, step: Step) -> None:
        self.steps.append(step)
        self.read_mails()
        step.mails = sum(len(subjects) for subjects in self.mails.values())
        self.console.print(f"[green]✓[/] {step.words} [dim]({step.seconds:.1f} s)[/]")

    def print_table(self) -> None:
        table = Table(title=f"\n{self.title}", title_justify="left", title_style="bold")
        table.add_column("#", justify="right")
        table.add_column("step", ratio=1)
        table.add_column("seconds", justify="right")
        table.add_column("transaction")
        table.add_column("gas", justify="right")
        table.add_column("e-mails so far", justify="right")
        wide = self.console.width >= NARROW
        for number, step in enumerate(self.steps, 1):
            tx_hash = step.tx_hash if not step.tx_hash or not wide else f"{step.tx_hash[:10]}…{step.tx_hash[-8:]}"
            gas = f"{step.gas:,}" if step.gas is not None else ""
            table.add_row(str(number), step.words, f"{step.seconds:.2f}", tx_hash, gas, str(step.mails))
        self.console.print(table)
        balances = Table(title="Balances on the chain, test USDC", title_justify="left", title_style="bold")
        for column in ("", "before", "after", "difference"):
            balances.add_column(column, justify="right" if column else "left")
        self.after = self.balances()
        for name in self.before:
            before, after = self.before[name], self.after[name]
            balances.add_row(name, self.money(before), self.money(after), self.money(after - before, sign=True))
        self.console.print(balances)

    def print_checks(self) -> bool:
        self.console.print("[bold]Checks[/]")
        checks = list(self.checks())
        for check in checks:
            mark = "[green]✓[/]" if check.is_right else "[bold red]✗[/]"
            self.console.print(f"{mark} {check.words}" + (f": {check.found}" if check.found else ""))
        return all(check.is_right for check in checks)

    # --- Looking -----------------------------------------------------------------------------------------------------

    def checks(self) -> Iterator[Check]:
        """Every figure, against what it has to be."""
        milestones = self.deal["milestones"]
        spent = self.before["Bea, the buyer"] - self.after["Bea, the buyer"]
        earned = self.after["Sol, the seller"] - self.before["Sol, the seller"]
        funded = sum(int(milestone["amount_units"]) for milestone in milestones)
        fees = sum(int(milestone["fee_units"]) for milestone in milestones)
        refunded = sum(int(milestone["buyer_units"]) for milestone in milestones)
        shares = sum(int(milestone["seller_units"]) for milestone in milestones)
        scale = 10 ** int(self.token["decimals"])
        expected = [int(Decimal(amount) * scale) for amount in (AMOUNTS[0], AMOUNTS[1], SELLERS_PART)]

        remaining = self.node.remaining(self.deployment["vault"], self.deal["escrow_id"])
        yield Check("the vault holds nothing of this escrow any more", remaining == 0, f"{remaining} units")
        yield Check(
            "money is conserved to the unit",
            funded == shares + refunded and spent == earned + fees and shares - fees == earned,
            f"paid in {funded:,} = to the seller {shares - fees:,} + back to the buyer {refunded:,} + fees {fees:,}",
        )
        yield Check(
            "each milestone was settled as it was decided",
            [int(milestone["seller_units"]) for milestone in milestones] == expected,
            ", ".join(f"{milestone['money']} {milestone['seller_amount']}" for milestone in milestones),
        )
        states = [(milestone["status"], milestone["money"]) for milestone in milestones]
        yield Check(
            "the escrow is CLOSED, its milestones are COMPLETED",
            self.deal["status"] == "CLOSED"
            and states == [("COMPLETED", "RELEASED"), ("COMPLETED", "RELEASED"), ("COMPLETED", "SPLIT")],
            self.deal["status"],
        )
        seller = self.seller.get("seller-profile/")["verification_status"]
        yield Check("the seller is verified", seller == "VERIFIED", seller)
        proved, actions = self._proved()
        yield Check("each signed action left its proof in the timeline", proved == actions, f"{proved} of {actions}")
        yield Check(
            "the buyer reads the files that were handed in, a stranger does not",
            self._files_are_private(),
            f"{len(self.delivered)} files",
        )
        for client, name in ((self.buyer, "Bea"), (self.seller, "Sol"), (self.arbiter, "the arbiter")):
            wanted = Counter(self.expected_mails()[client.name])
            told = Counter(_as_expected(subject, wanted) for subject in self.mails[client.name])
            found = f"{told.total()} mails"
            if told != wanted:
                lacking, surplus = wanted - told, told - wanted
                found += "".join(f"\n    lacking: {subject}" for subject in lacking.elements())
                found += "".join(f"\n    not expected: {subject}" for subject in surplus.elements())
            yield Check(f"{name} got exactly the mails that were due", told == wanted, found)

    def expected_mails(self) -> dict[str, list[str]]:
        """The subjects that each party has to find in the mailbox; `*` stands for a date."""
        deal, symbol = f"“{self.title}”", self.token["symbol"]
        total = f"{sum(map(Decimal, AMOUNTS)):,} {symbol}"
        back = f"{Decimal(AMOUNTS[2]) - Decimal(SELLERS_PART)} {symbol}"
        handed_in = [TITLES[0], TITLES[1], TITLES[1], TITLES[2]]
        buyer = [
            "Welcome to the escrow platform",
            f"Your draft {deal} is saved",
            f"Sol Siteworks accepted {deal}: next, pay {total} into escrow",
            f"Your payment of {total} for {deal} is in escrow",
            *(f"Please review “{title}” by *" for title in handed_in),
            *(f"{AMOUNTS[i]} {symbol} was paid to Sol Siteworks for “{TITLES[i]}”" for i in (0, 1)),
            f"You asked Sol Siteworks for changes to “{TITLES[1]}”",
            f"You called the arbiter over “{TITLES[2]}”",
            f"The dispute over “{TITLES[2]}” is over: {back} goes to you",
            f"Sol Siteworks reviewed you after {deal}",
        ]
        seller = [
            "Welcome to the escrow platform",
            "Your seller verification is under review",
            "You are verified as a seller",
            f"Bea Baker proposes an agreement: {deal}, {total}",
            f"You accepted {deal}: the payment is next",
            f"{total} for {deal} is in escrow: you can start",
            *(f"Your work on “{title}” was handed in" for title in handed_in),
            *(f"You were paid {AMOUNTS[i]} {symbol} for “{TITLES[i]}”" for i in (0, 1)),
            f"Bea Baker asks for changes to “{TITLES[1]}”",
            f"Bea Baker called the arbiter over “{TITLES[2]}”",
            f"The dispute over “{TITLES[2]}” is over: {SELLERS_PART} {symbol} goes to you",
            f"Bea Baker reviewed you after {deal}",
        ]
        both = [f"{deal} is completed", f"{deal} is closed"]
        arbiter = [
            f"You are the arbiter of {deal}",
            f"Please decide a dispute over “{TITLES[2]}”: {AMOUNTS[2]} {symbol}",
            f"The dispute over “{TITLES[2]}” is over",
        ]
        return {"buyer": buyer + both, "seller": seller + both, "arbiter": arbiter}

    def read_mails(self, *, wait: bool = False) -> None:
        """Read the mailbox; `wait`: until nothing is missing, or for as long as a mail may take."""
        expected = sum(len(subjects) for subjects in self.expected_mails().values()) if wait else 0
        deadline = time.monotonic() + MAIL_SECONDS
        while True:
            for client in (self.buyer, self.seller, self.arbiter):
                self.mails[client.name] = self._mails_of(client) if client.email else []
            if time.monotonic() > deadline or sum(map(len, self.mails.values())) >= expected:
                return
            time.sleep(POLL_SECONDS)

    def _mails_of(self, client: Client) -> list[str]:
        if self.mailbox is not None:
            mails = self.mailbox.mails_to(client.email)
        else:  # the mails went to a server of the person's own: what it took is all that can be known
            taken = client.get("notifications/", channel="email", state="SENT", page_size=100)["results"]
            mails = [(told["subject"], told["body_text"]) for told in taken]
        # The arbiter is the same person in every run: what was told of other deals is not ours.
        mine = [subject for subject, text in mails if client is not self.arbiter or self.title in subject + text]
        return sorted(mine)

    def _proved(self) -> tuple[int, int]:
        """How many of the chain transactions the timeline names, and how many there were."""
        hashes = {step.tx_hash for step in self.steps if step.tx_hash} - {self.steps[1].tx_hash}
        events = self.buyer.get(f"transactions/{self.deal['id']}/timeline/", page_size=100)["results"]
        return len(hashes & {event["chain_tx_hash"] for event in events}), len(hashes)

    def _files_are_private(self) -> bool:
        for document_id in self.delivered:
            record = self.buyer.get(f"documents/{document_id}/")
            content = self.buyer.get(f"documents/{document_id}/download/")
            if hashlib.sha256(content).hexdigest() != record["sha256"]:
                return False
            self.reviewer.call("GET", f"documents/{document_id}/download/", expect=404)
        return self.reviewer.call("GET", f"transactions/{self.deal['id']}/", expect=404) is None

    def balances(self) -> dict[str, int]:
        """Units of test USDC, as the token's contract says."""
        who = {"Bea, the buyer": self.buyer.wallet, "Sol, the seller": self.seller.wallet}
        return {name: self.node.balance(self.token["address"], wallet) for name, wallet in who.items()}

    def money(self, units: int, *, sign: bool = False) -> str:
        return f"{Decimal(units).scaleb(-int(self.token['decimals'])):{'+' if sign else ''},.2f}"

    def _logins(self) -> dict[str, tuple[str, str]]:
        path = self.stack.var / "logins.json"
        try:
            found = json.loads(path.read_text())["logins"]
        except (OSError, ValueError, KeyError) as error:
            raise LauncherError(f"{path} does not name the demo logins: is DEBUG off?") from error
        return {login["role"]: (login["email"], login["password"]) for login in found}


class Mailbox:
    """The Maildir that the embedded mail server writes; reads each mail once, and none from before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = set(self._names())
        self.mails: list[tuple[str, str, str]] = []

    def mails_to(self, address: str) -> list[tuple[str, str]]:
        """Subject and text of what this address received."""
        for name in self._names():
            if name not in self.seen:
                self.seen.add(name)
                with (self.folder / "new" / name).open("rb") as source:
                    mail = BytesParser(policy=policy.default).parse(source)
                body = mail.get_body(("plain",))
                text = str(body.get_content()) if body is not None else ""
                self.mails.append((str(mail["To"]).lower(), str(mail["Subject"]), text))
        return [(subject, text) for to, subject, text in self.mails if address in to]

    def _names(self) -> list[str]:
        try:
            return sorted(os.listdir(self.folder / "new"))
        except FileNotFoundError:
            return []


class Node:
    """The chain's own word, over JSON-RPC."""

    def __init__(self, rpc_url: str) -> None:
        self.rpc_url = rpc_url
        self.http = requests.Session()

    def call(self, method: str, *parameters: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        try:
            answer = self.http.post(self.rpc_url, json=body, timeout=ANSWER_SECONDS).json()
            return answer["result"]
        except (requests.RequestException, ValueError, KeyError) as error:
            raise DemoFailed(f"the node does not answer {method}: {type(error).__name__}") from error

    def receipt(self, tx_hash: str) -> Json:
        found: Json = {}

        def is_mined() -> bool:
            found.update(self.call("eth_getTransactionReceipt", tx_hash) or {})
            return bool(found)

        wait_until(is_mined, f"the transaction {tx_hash}")
        return found

    def balance(self, token: str, account: str) -> int:
        return self._read(token, "balanceOf(address)", account.removeprefix("0x").rjust(64, "0"))

    def remaining(self, vault: str, escrow: str) -> int:
        """What the vault still holds of an escrow, in units: the first word of its state."""
        return self._read(vault, "escrow_of(bytes32)", escrow.removeprefix("0x"))

    def _read(self, contract: str, function: str, arguments: str) -> int:
        data = "0x" + keccak(text=function)[:4].hex() + arguments
        return int(self.call("eth_call", {"to": contract, "data": data}, "latest")[:66], 16)


def _as_expected(subject: str, expected: Iterable[str]) -> str:
    """The expected subject that this one is, where a date may stand for its `*`; itself if it is none of them."""
    for wanted in expected:
        beginning, star, _ = wanted.partition("*")
        if subject == wanted or (star and subject.startswith(beginning)):
            return wanted
    return subject


def at_once(*calls: Callable[[], None]) -> None:
    """Different people do not wait for each other. Raises what the first of them raised."""
    with ThreadPoolExecutor(max_workers=len(calls)) as pool:
        for call in [pool.submit(call) for call in calls]:
            call.result()


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Look again and again. Raises DemoFailed when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise DemoFailed(f"waited {PATIENCE_SECONDS:.0f} s in vain: {what}")
        time.sleep(POLL_SECONDS)


def pdf(text: str) -> bytes:
    """A PDF of one page that says `text`."""
    stream = f"BT /F1 18 Tf 40 740 Td ({text}) Tj ET".encode()
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
    ]
    result, offsets = b"%PDF-1.7\n", []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(result))
        result += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(result)
    result += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(bodies) + 1, table)
    return result + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, start)


def png(width: int, height: int) -> bytes:
    """A PNG picture of stripes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\x00" + bytes((x * 4 + y * 2) % 256 for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
