# pragma version ==0.4.3
# pragma evm-version cancun
# pragma optimize codesize
"""
@title EscrowVault
@license MIT
@author The Smart Contracts Escrow Platform authors
@notice Holds the money of every escrow on this chain and moves it only by the rules of SPEC.md.
@dev No owner, no pause, no upgrade, no sweep. An escrow is known by the EIP-712 hash of its terms; every call brings
     the terms along and only packed words are stored.

     The order inside every function is: whose escrow is it, who is asking, may he do it now, write, tell, pay.
     State is written and logged before a token is called, and one transient lock stands on every function that writes.

     A deadline is kept at `block.timestamp <= deadline` and over at `block.timestamp > deadline`.
"""

from ethereum.ercs import IERC20


# ------------------------------------------------------------------
#                              TYPES
# ------------------------------------------------------------------

struct Terms:
    buyer: address
    seller: address
    arbiter: address
    token: address
    amounts: DynArray[uint256, MAX_MILESTONES]  # base units, one per milestone
    deliver_by: DynArray[uint256, MAX_MILESTONES]  # seconds since the epoch, one per milestone
    accept_by: uint256  # last moment of the first funding
    review_seconds: uint256
    revision_seconds: uint256
    max_revisions: uint256  # requests for changes per milestone
    arbitration_seconds: uint256
    timeout_seller_bps: uint256  # the seller's part where the arbiter stays silent
    fee_recipient: address  # zero exactly if fee_bps is
    fee_bps: uint256  # of what the seller gets
    details: bytes32  # hash of the agreement in words
    salt: bytes32

struct Milestone:
    phase: uint256
    ends_at: uint256  # of the phase: delivery, review, revision or arbitration
    round: uint256  # submissions so far


# ------------------------------------------------------------------
#                              EVENTS
# ------------------------------------------------------------------
# Together they rebuild every escrow from the chain alone. `milestones` is a bitmap, bit i for milestone i;
# `seller_amount` is what the seller gets before `fee` is taken from it.

event EscrowOpened:
    escrow: indexed(bytes32)
    buyer: indexed(address)
    seller: indexed(address)
    terms: Terms

event MilestonesFunded:
    escrow: indexed(bytes32)
    milestones: uint256
    amount: uint256

event MilestoneSubmitted:
    escrow: indexed(bytes32)
    milestone: uint256
    round: uint256
    deliverable: bytes32
    review_ends_at: uint256

event MilestonesReleased:
    escrow: indexed(bytes32)
    milestones: uint256
    seller_amount: uint256
    fee: uint256

event ChangesRequested:
    escrow: indexed(bytes32)
    milestone: uint256
    round: uint256
    reason: bytes32
    revision_ends_at: uint256

event MilestoneClaimed:
    escrow: indexed(bytes32)
    milestone: uint256
    seller_amount: uint256
    fee: uint256

event MilestoneExtended:
    escrow: indexed(bytes32)
    milestone: uint256
    until: uint256

event MilestoneReclaimed:
    escrow: indexed(bytes32)
    milestone: uint256
    amount: uint256

event MilestonesRefunded:
    escrow: indexed(bytes32)
    milestones: uint256
    amount: uint256

event MilestonesSettled:
    escrow: indexed(bytes32)
    milestones: uint256
    seller_amounts: DynArray[uint256, MAX_MILESTONES]
    fee: uint256

event MilestoneDisputed:
    escrow: indexed(bytes32)
    milestone: uint256
    round: uint256
    party: address
    reason: bytes32
    arbitration_ends_at: uint256

event DisputeResolved:
    escrow: indexed(bytes32)
    milestone: uint256
    seller_amount: uint256
    fee: uint256
    reason: bytes32

event DisputeTimedOut:
    escrow: indexed(bytes32)
    milestone: uint256
    seller_amount: uint256
    fee: uint256

event SignaturesRevoked:
    escrow: indexed(bytes32)
    party: address
    epoch: uint256

event Credited:
    token: indexed(address)
    account: indexed(address)
    amount: uint256

event Withdrawn:
    token: indexed(address)
    account: indexed(address)
    to: address
    amount: uint256


# ------------------------------------------------------------------
#                             CONSTANTS
# ------------------------------------------------------------------

MAX_MILESTONES: constant(uint256) = 32
MAX_REVISIONS: constant(uint256) = 10
MAX_FEE_BPS: constant(uint256) = 1_000
BPS: constant(uint256) = 10_000
MAX_SIGNATURE_BYTES: constant(uint256) = 1_024  # room for contract wallets' (passkeys, several owners)
MAX_FIELDS_BYTES: constant(uint256) = 256  # of a signed message

# A push gets exactly this much gas, whatever the caller sent: the caller cannot choose between push and credit.
PUSH_GAS: constant(uint256) = 200_000
# PUSH_GAS after the 63/64 rule, and enough left to write a credit when the push used it all.
GAS_BEFORE_PUSH: constant(uint256) = 250_000

# Escrow word: remaining amount in the low 128 bits, then
FUNDED: constant(uint256) = 128  # shift of the bitmap of milestones that were ever funded
SETTLED: constant(uint256) = 160  # shift of the bitmap of milestones that were paid out
DISPUTED: constant(uint256) = 192  # shift of the bitmap of milestones under arbitration
BUYER_EPOCH: constant(uint256) = 224
SELLER_EPOCH: constant(uint256) = 240
AMOUNT_MASK: constant(uint256) = 2**128 - 1
BITMAP_MASK: constant(uint256) = 2**32 - 1
EPOCH_MASK: constant(uint256) = 2**16 - 1

# Milestone word: phase in the low 8 bits, round in the next 8, deadline in the 64 above
ROUND: constant(uint256) = 8
DEADLINE: constant(uint256) = 16
BYTE_MASK: constant(uint256) = 2**8 - 1

# Phases. A milestone without a submission has phase 0; its deadline is 0 as long as `deliver_by` of the terms holds.
UNSUBMITTED: constant(uint256) = 0
SUBMITTED: constant(uint256) = 1
CHANGES: constant(uint256) = 2
IN_DISPUTE: constant(uint256) = 3

# Signed messages, numbered for `digest`
ACCEPT: constant(uint256) = 0
FUND: constant(uint256) = 1
SUBMIT: constant(uint256) = 2
RELEASE: constant(uint256) = 3
REQUEST_CHANGES: constant(uint256) = 4
EXTEND: constant(uint256) = 5
RECLAIM: constant(uint256) = 6
REFUND: constant(uint256) = 7
SETTLE: constant(uint256) = 8
DISPUTE: constant(uint256) = 9
RESOLVE: constant(uint256) = 10
REVOKE: constant(uint256) = 11
WITHDRAW: constant(uint256) = 12

DOMAIN_TYPE: constant(bytes32) = keccak256(
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
NAME_HASH: constant(bytes32) = keccak256("EscrowVault")
VERSION_HASH: constant(bytes32) = keccak256("1")
TERMS_TYPE: constant(bytes32) = keccak256(
    "Terms(address buyer,address seller,address arbiter,address token,uint256[] amounts,uint256[] deliver_by,uint256 accept_by,uint256 review_seconds,uint256 revision_seconds,uint256 max_revisions,uint256 arbitration_seconds,uint256 timeout_seller_bps,address fee_recipient,uint256 fee_bps,bytes32 details,bytes32 salt)"
)
# An EIP-3009 authorization whose nonce is keccak256(FUND_TAG, escrow, milestones, buyer's epoch) funds these only.
FUND_TAG: constant(bytes32) = keccak256("EscrowVault.fund")
ERC1271_MAGIC: constant(bytes32) = 0x1626ba7e00000000000000000000000000000000000000000000000000000000
# Half of secp256k1's order: a larger s is the mirror image of another valid signature.
MAX_S: constant(uint256) = 57896044618658097711785492504343953926418782139537452191302581570759080747168


# ------------------------------------------------------------------
#                              STORAGE
# ------------------------------------------------------------------

min_window_seconds: public(immutable(uint256))
max_window_seconds: public(immutable(uint256))

escrows: HashMap[bytes32, uint256]
milestones_of: HashMap[bytes32, uint256[MAX_MILESTONES]]
credits: HashMap[address, HashMap[address, uint256]]  # token, account
withdraw_nonces: HashMap[address, uint256]


@deploy
def __init__(_min_window_seconds: uint256, _max_window_seconds: uint256):
    """
    @param _min_window_seconds Shortest review, revision and arbitration window (24 hours; seconds on a test chain).
    @param _max_window_seconds Longest such window, and how far ahead a delivery date may lie (365 days).
    """
    assert 0 < _min_window_seconds, "escrow: windows cannot be empty"
    assert _min_window_seconds <= _max_window_seconds, "escrow: window limits are the wrong way round"
    assert _max_window_seconds < 2**32, "escrow: windows are too long"
    min_window_seconds = _min_window_seconds
    max_window_seconds = _max_window_seconds


# ------------------------------------------------------------------
#                       THE BUYER PAYS IN
# ------------------------------------------------------------------

@external
@nonreentrant
def fund(
    terms: Terms,
    milestones: uint256,
    accept_deadline: uint256,
    accept_signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice The buyer pays in a set of milestones out of his allowance. The first time needs the seller's acceptance.
    @dev An allowance to the vault is not enough for others to spend it: the caller must be the buyer.
    """
    if msg.sender != terms.buyer:
        self._refuse("escrow: caller is not the party")
    amount: uint256 = self._open(self._hash_terms(terms), terms, milestones, accept_deadline, accept_signature)
    self._pull_allowance(terms, amount)


@external
@nonreentrant
def fund_with_permit(
    terms: Terms,
    milestones: uint256,
    accept_deadline: uint256,
    accept_signature: Bytes[MAX_SIGNATURE_BYTES],
    permit_deadline: uint256,
    permit_v: uint8,
    permit_r: bytes32,
    permit_s: bytes32,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice As `fund`, sent by anyone: the buyer signs the token's permit for the exact sum and Fund for its purpose.
    @dev A permit alone commits to no terms, so it never suffices. A permit that somebody else has already sent to the
         token (front-running) has set the allowance, and its failure here is ignored: the transfer decides.
    """
    escrow: bytes32 = self._hash_terms(terms)
    epoch: uint256 = self._epoch(escrow, BUYER_EPOCH)
    self._authorize(terms.buyer, FUND, abi_encode(escrow, milestones, epoch, deadline), deadline, signature)
    amount: uint256 = self._open(escrow, terms, milestones, accept_deadline, accept_signature)
    permitted: bool = raw_call(
        terms.token,
        abi_encode(
            terms.buyer,
            self,
            amount,
            permit_deadline,
            permit_v,
            permit_r,
            permit_s,
            method_id=method_id("permit(address,address,uint256,uint256,uint8,bytes32,bytes32)"),
        ),
        revert_on_failure=False,
    )
    self._pull_allowance(terms, amount)


@external
@nonreentrant
def fund_with_authorization(
    terms: Terms,
    milestones: uint256,
    accept_deadline: uint256,
    accept_signature: Bytes[MAX_SIGNATURE_BYTES],
    valid_after: uint256,
    valid_before: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice As `fund`, sent by anyone with one signature: the buyer's EIP-3009 ReceiveWithAuthorization to this vault.
    @dev Its nonce names the escrow, the milestones and the buyer's epoch, so the same signature commits the money to
         these terms and no others, and `revoke` voids it. The token lets nobody but the vault use it.
    """
    escrow: bytes32 = self._hash_terms(terms)
    nonce: bytes32 = keccak256(abi_encode(FUND_TAG, escrow, milestones, self._epoch(escrow, BUYER_EPOCH)))
    amount: uint256 = self._open(escrow, terms, milestones, accept_deadline, accept_signature)
    if len(signature) == 65:  # the form that every EIP-3009 token knows
        v: uint256 = 0
        r: uint256 = 0
        s: uint256 = 0
        v, r, s = self._split(signature)
        self._pull(
            terms.token,
            amount,
            abi_encode(
                terms.buyer,
                self,
                amount,
                valid_after,
                valid_before,
                nonce,
                v,
                r,
                s,
                method_id=method_id(
                    "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
                ),
            ),
        )
    else:  # contract wallets
        self._pull(
            terms.token,
            amount,
            abi_encode(
                terms.buyer,
                self,
                amount,
                valid_after,
                valid_before,
                nonce,
                signature,
                method_id=method_id(
                    "receiveWithAuthorization(address,address,uint256,uint256,uint256,bytes32,bytes)"
                ),
            ),
        )


# ------------------------------------------------------------------
#                        THE SELLER DELIVERS
# ------------------------------------------------------------------

@external
@nonreentrant
def submit(
    terms: Terms,
    milestone: uint256,
    round: uint256,
    deliverable: bytes32,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice The seller hands in a milestone; the buyer's review window starts.
    @param round The round that this submission starts, 1 first: an old signature cannot hand in again.
    @param deliverable Hash of what was delivered, for the record; the vault does not look into it.
    @dev Never while SUBMITTED: handing in again would push the buyer's review window under his feet.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        terms.seller,
        SUBMIT,
        abi_encode(escrow, milestone, round, deliverable, state >> SELLER_EPOCH, deadline),
        deadline,
        signature,
    )
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != UNSUBMITTED and now.phase != CHANGES:
        self._refuse("escrow: no submission due")
    if block.timestamp > now.ends_at:
        self._refuse("escrow: deadline has passed")
    if round != now.round + 1:
        self._refuse("escrow: wrong round")
    ends_at: uint256 = self._start(escrow, milestone, SUBMITTED, round, terms.review_seconds)
    log MilestoneSubmitted(
        escrow=escrow, milestone=milestone, round=round, deliverable=deliverable, review_ends_at=ends_at
    )


@external
@nonreentrant
def refund(terms: Terms, milestones: uint256, deadline: uint256, signature: Bytes[MAX_SIGNATURE_BYTES]):
    """
    @notice The seller gives a set of milestones back to the buyer, disputed ones too: it only ever costs himself.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        terms.seller,
        REFUND,
        abi_encode(escrow, milestones, state >> SELLER_EPOCH, deadline),
        deadline,
        signature,
    )
    self._require_open(state, milestones)
    amount: uint256 = self._sum(terms.amounts, milestones, 0)[0]
    log MilestonesRefunded(escrow=escrow, milestones=milestones, amount=amount)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        milestones,
        0,
        0,
        amount,
    )


# ------------------------------------------------------------------
#                         THE BUYER DECIDES
# ------------------------------------------------------------------

@external
@nonreentrant
def release(terms: Terms, milestones: uint256, deadline: uint256, signature: Bytes[MAX_SIGNATURE_BYTES]):
    """
    @notice The buyer pays a set of milestones to the seller, handed in or not.
    @dev Not while disputed: a release that was signed before the dispute must not overtake the arbiter.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        terms.buyer,
        RELEASE,
        abi_encode(escrow, milestones, (state >> BUYER_EPOCH) & EPOCH_MASK, deadline),
        deadline,
        signature,
    )
    self._require_open(state, milestones)
    if (state >> DISPUTED) & milestones != 0:
        self._refuse("escrow: milestone is in dispute")
    amount: uint256 = 0
    fee: uint256 = 0
    amount, fee = self._sum(terms.amounts, milestones, terms.fee_bps)
    log MilestonesReleased(escrow=escrow, milestones=milestones, seller_amount=amount, fee=fee)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        milestones,
        amount,
        fee,
        0,
    )


@external
@nonreentrant
def request_changes(
    terms: Terms,
    milestone: uint256,
    round: uint256,
    reason: bytes32,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice The buyer sends a submission back; the seller has the revision window to hand in again.
    @param round The round that is being reviewed: a request signed for one submission is none for the next.
    @dev Limited by `max_revisions`, or a buyer could keep work and money in review for ever.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        terms.buyer,
        REQUEST_CHANGES,
        abi_encode(escrow, milestone, round, reason, (state >> BUYER_EPOCH) & EPOCH_MASK, deadline),
        deadline,
        signature,
    )
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != SUBMITTED:
        self._refuse("escrow: not in review")
    if block.timestamp > now.ends_at:
        self._refuse("escrow: deadline has passed")
    if round != now.round:
        self._refuse("escrow: wrong round")
    # every round but the first was opened by one request
    if round > terms.max_revisions:
        self._refuse("escrow: no revisions left")
    ends_at: uint256 = self._start(escrow, milestone, CHANGES, round, terms.revision_seconds)
    log ChangesRequested(escrow=escrow, milestone=milestone, round=round, reason=reason, revision_ends_at=ends_at)


@external
@nonreentrant
def extend(
    terms: Terms,
    milestone: uint256,
    round: uint256,
    until: uint256,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice The buyer gives the seller more time for one milestone, also after the deadline while nobody has reclaimed.
    @param round The present round, 0 before the first submission: more time for delivery that was signed once cannot
                 be used again for a later revision.
    @param until The new delivery or revision deadline: later than the old one and than now, within the upper limit.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        terms.buyer,
        EXTEND,
        abi_encode(escrow, milestone, round, until, (state >> BUYER_EPOCH) & EPOCH_MASK, deadline),
        deadline,
        signature,
    )
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != UNSUBMITTED and now.phase != CHANGES:
        self._refuse("escrow: nothing to extend")
    if round != now.round:
        self._refuse("escrow: wrong round")
    if until <= max(now.ends_at, block.timestamp):
        self._refuse("escrow: deadline is not later")
    if until > block.timestamp + max_window_seconds:
        self._refuse("escrow: deadline is too far")
    self.milestones_of[escrow][milestone] = now.phase | now.round << ROUND | until << DEADLINE
    log MilestoneExtended(escrow=escrow, milestone=milestone, until=until)


@external
@nonreentrant
def reclaim(terms: Terms, milestone: uint256, deadline: uint256, signature: Bytes[MAX_SIGNATURE_BYTES]):
    """
    @notice Pays a milestone that was not delivered in time back to the buyer; anyone may do it one review window later.
    @dev The delay keeps strangers from taking the buyer's chance to extend.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != UNSUBMITTED and now.phase != CHANGES:
        self._refuse("escrow: nothing to reclaim")
    if block.timestamp <= now.ends_at:
        self._refuse("escrow: deadline has not passed")
    if len(signature) != 0 or block.timestamp <= now.ends_at + terms.review_seconds:
        self._authorize(
            terms.buyer,
            RECLAIM,
            abi_encode(escrow, milestone, (state >> BUYER_EPOCH) & EPOCH_MASK, deadline),
            deadline,
            signature,
        )
    amount: uint256 = terms.amounts[milestone]
    log MilestoneReclaimed(escrow=escrow, milestone=milestone, amount=amount)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        1 << milestone,
        0,
        0,
        amount,
    )


# ------------------------------------------------------------------
#                         EITHER OR BOTH
# ------------------------------------------------------------------

@external
@nonreentrant
def dispute(
    terms: Terms,
    milestone: uint256,
    round: uint256,
    reason: bytes32,
    party: address,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice Buyer or seller calls the arbiter; this milestone's clocks stop and the arbitration window starts.
    @param party Who disputes: the buyer or the seller.
    @dev There must have been a submission: before one, a dispute with an absent arbiter would be free money.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._authorize(
        party,
        DISPUTE,
        abi_encode(
            escrow,
            milestone,
            round,
            reason,
            (state >> self._epoch_of(terms, party)) & EPOCH_MASK,
            deadline,
        ),
        deadline,
        signature,
    )
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != SUBMITTED and now.phase != CHANGES:
        self._refuse("escrow: nothing to dispute")
    if block.timestamp > now.ends_at:
        self._refuse("escrow: deadline has passed")
    if round != now.round:
        self._refuse("escrow: wrong round")
    self.escrows[escrow] = state | 1 << milestone << DISPUTED
    ends_at: uint256 = self._start(escrow, milestone, IN_DISPUTE, round, terms.arbitration_seconds)
    log MilestoneDisputed(
        escrow=escrow, milestone=milestone, round=round, party=party, reason=reason, arbitration_ends_at=ends_at
    )


@external
@nonreentrant
def settle(
    terms: Terms,
    milestones: uint256,
    seller_amounts: DynArray[uint256, MAX_MILESTONES],
    buyer_deadline: uint256,
    buyer_signature: Bytes[MAX_SIGNATURE_BYTES],
    seller_deadline: uint256,
    seller_signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice Buyer and seller split a set of milestones as they both sign, disputed ones too.
    @param seller_amounts The seller's part of each milestone in the set, ascending; the rest is the buyer's.
    @dev The fee is taken from the seller's parts as in a release, so that nobody settles to dodge it.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    parts: bytes32 = self._hash_array(seller_amounts)
    self._authorize(
        terms.buyer,
        SETTLE,
        abi_encode(escrow, milestones, parts, (state >> BUYER_EPOCH) & EPOCH_MASK, buyer_deadline),
        buyer_deadline,
        buyer_signature,
    )
    self._authorize(
        terms.seller,
        SETTLE,
        abi_encode(escrow, milestones, parts, state >> SELLER_EPOCH, seller_deadline),
        seller_deadline,
        seller_signature,
    )
    self._require_open(state, milestones)
    seller_amount: uint256 = 0
    buyer_amount: uint256 = 0
    fee: uint256 = 0
    count: uint256 = 0
    for i: uint256 in range(len(terms.amounts), bound=MAX_MILESTONES):
        if (milestones >> i) & 1 == 0:
            continue
        if count == len(seller_amounts):
            self._refuse("escrow: one part per milestone")
        part: uint256 = seller_amounts[count]
        if part > terms.amounts[i]:
            self._refuse("escrow: part is above the amount")
        seller_amount += part
        buyer_amount += terms.amounts[i] - part
        fee += part * terms.fee_bps // BPS
        count += 1
    if count != len(seller_amounts):
        self._refuse("escrow: one part per milestone")
    log MilestonesSettled(escrow=escrow, milestones=milestones, seller_amounts=seller_amounts, fee=fee)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        milestones,
        seller_amount,
        fee,
        buyer_amount,
    )


@external
@nonreentrant
def revoke(terms: Terms, party: address, deadline: uint256, signature: Bytes[MAX_SIGNATURE_BYTES]):
    """
    @notice Voids every signature that this party gave for this escrow so far, also before the first funding.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    position: uint256 = self._epoch_of(terms, party)
    epoch: uint256 = (state >> position) & EPOCH_MASK
    self._authorize(party, REVOKE, abi_encode(escrow, epoch, deadline), deadline, signature)
    if epoch == EPOCH_MASK:
        self._refuse("escrow: no epoch left")
    self.escrows[escrow] = state + (1 << position)
    log SignaturesRevoked(escrow=escrow, party=party, epoch=epoch + 1)


# ------------------------------------------------------------------
#                        THE ARBITER DECIDES
# ------------------------------------------------------------------

@external
@nonreentrant
def resolve(
    terms: Terms,
    milestone: uint256,
    seller_amount: uint256,
    reason: bytes32,
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @notice The arbiter splits a disputed milestone between buyer and seller, also late as long as nobody timed it out.
    @dev He chooses a number between 0 and the milestone's amount and nothing else: no recipient is his to name.
    """
    escrow: bytes32 = self._hash_terms(terms)
    self._authorize(
        terms.arbiter,
        RESOLVE,
        abi_encode(escrow, milestone, seller_amount, reason, deadline),
        deadline,
        signature,
    )
    state: uint256 = self.escrows[escrow]
    self._require_disputed(state, milestone)
    if seller_amount > terms.amounts[milestone]:
        self._refuse("escrow: part is above the amount")
    fee: uint256 = seller_amount * terms.fee_bps // BPS
    log DisputeResolved(escrow=escrow, milestone=milestone, seller_amount=seller_amount, fee=fee, reason=reason)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        1 << milestone,
        seller_amount,
        fee,
        terms.amounts[milestone] - seller_amount,
    )


# ------------------------------------------------------------------
#                       ANYONE, WHEN TIME IS UP
# ------------------------------------------------------------------

@external
@nonreentrant
def claim(terms: Terms, milestone: uint256):
    """
    @notice Pays a milestone to the seller whose review window has ended without a word from the buyer.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._require_open(state, 1 << milestone)
    now: Milestone = self._milestone(escrow, milestone, terms.deliver_by[milestone])
    if now.phase != SUBMITTED:
        self._refuse("escrow: not in review")
    if block.timestamp <= now.ends_at:
        self._refuse("escrow: deadline has not passed")
    amount: uint256 = terms.amounts[milestone]
    fee: uint256 = amount * terms.fee_bps // BPS
    log MilestoneClaimed(escrow=escrow, milestone=milestone, seller_amount=amount, fee=fee)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        1 << milestone,
        amount,
        fee,
        0,
    )


@external
@nonreentrant
def time_out(terms: Terms, milestone: uint256):
    """
    @notice Splits a disputed milestone as the terms say for the case that the arbiter stays silent.
    """
    escrow: bytes32 = self._hash_terms(terms)
    state: uint256 = self.escrows[escrow]
    self._require_disputed(state, milestone)
    if block.timestamp <= self.milestones_of[escrow][milestone] >> DEADLINE:
        self._refuse("escrow: deadline has not passed")
    amount: uint256 = terms.amounts[milestone]
    seller_amount: uint256 = amount * terms.timeout_seller_bps // BPS
    fee: uint256 = seller_amount * terms.fee_bps // BPS
    log DisputeTimedOut(escrow=escrow, milestone=milestone, seller_amount=seller_amount, fee=fee)
    self._pay_out(
        terms.token,
        terms.seller,
        terms.buyer,
        terms.fee_recipient,
        escrow,
        state,
        1 << milestone,
        seller_amount,
        fee,
        amount - seller_amount,
    )


# ------------------------------------------------------------------
#                    WHERE A PAYMENT DID NOT ARRIVE
# ------------------------------------------------------------------

@external
@nonreentrant
def withdraw(
    token: address, account: address, to: address, deadline: uint256, signature: Bytes[MAX_SIGNATURE_BYTES]
):
    """
    @notice Pays out what could not be pushed to `account`. Anyone may send it there; elsewhere only `account` decides.
    @dev Reverts where the token refuses again, so the credit stays.
    """
    if to == self:
        self._refuse("escrow: the vault cannot be paid")
    if to != account or len(signature) != 0:
        nonce: uint256 = self.withdraw_nonces[account]
        self._authorize(
            account,
            WITHDRAW,
            abi_encode(account, token, to, nonce, deadline),
            deadline,
            signature,
        )
        self.withdraw_nonces[account] = nonce + 1
    amount: uint256 = self.credits[token][account]
    if amount == 0:
        self._refuse("escrow: no credit")
    self.credits[token][account] = 0
    log Withdrawn(token=token, account=account, to=to, amount=amount)
    if not self._transfer(token, to, amount, msg.gas):
        self._refuse("escrow: token refuses transfer")


# ------------------------------------------------------------------
#                              VIEWS
# ------------------------------------------------------------------

@external
@view
def escrow_of(escrow: bytes32) -> (uint256, uint256, uint256, uint256, uint256, uint256):
    """
    @return Remaining amount, bitmaps of funded, settled and disputed milestones, the buyer's and the seller's epoch.
    """
    state: uint256 = self.escrows[escrow]
    return (
        state & AMOUNT_MASK,
        (state >> FUNDED) & BITMAP_MASK,
        (state >> SETTLED) & BITMAP_MASK,
        (state >> DISPUTED) & BITMAP_MASK,
        (state >> BUYER_EPOCH) & EPOCH_MASK,
        state >> SELLER_EPOCH,
    )


@external
@view
def milestone_of(escrow: bytes32, milestone: uint256) -> (uint256, uint256, uint256):
    """
    @return Phase (0 none, 1 SUBMITTED, 2 CHANGES, 3 DISPUTED), deadline (0 as long as `deliver_by` holds), round.
    @dev What was last written; a settled milestone keeps it, and `escrow_of` says that it is settled.
    """
    word: uint256 = self.milestones_of[escrow][milestone]
    return word & BYTE_MASK, word >> DEADLINE, (word >> ROUND) & BYTE_MASK


@external
@view
def credit_of(token: address, account: address) -> uint256:
    """
    @return Base units of `token` that `account` may withdraw.
    """
    return self.credits[token][account]


@external
@view
def withdraw_nonce_of(account: address) -> uint256:
    """
    @return The nonce of the next Withdraw message of `account`.
    """
    return self.withdraw_nonces[account]


@external
@view
def hash_terms(terms: Terms) -> bytes32:
    """
    @return The escrow's id: hashStruct(Terms) of EIP-712.
    """
    return self._hash_terms(terms)


@external
@view
def digest(action: uint256, fields: DynArray[uint256, 6]) -> bytes32:
    """
    @notice What a party signs for an action, computed by the code that checks it.
    @param action Number of the message: 0 Accept, 1 Fund, 2 Submit, 3 Release, 4 RequestChanges, 5 Extend, 6 Reclaim,
                  7 Refund, 8 Settle, 9 Dispute, 10 Resolve, 11 Revoke, 12 Withdraw.
    @param fields Its fields in order as words; in place of terms and arrays their EIP-712 hash.
    """
    return self._digest(action, slice(abi_encode(fields), 64, 32 * len(fields)))


# ------------------------------------------------------------------
#                        INTERNAL: PAYING IN
# ------------------------------------------------------------------

@internal
def _open(
    escrow: bytes32,
    terms: Terms,
    milestones: uint256,
    accept_deadline: uint256,
    accept_signature: Bytes[MAX_SIGNATURE_BYTES],
) -> uint256:
    """
    @dev Marks milestones as funded and returns the sum that must now come in; the caller has checked the buyer's will.
         The first time it checks the terms and the seller's acceptance: both sides have agreed from then on.
    """
    state: uint256 = self.escrows[escrow]
    if milestones == 0:
        self._refuse("escrow: no milestone named")
    if milestones >> len(terms.amounts) != 0:
        self._refuse("escrow: no such milestone")
    funded: uint256 = (state >> FUNDED) & BITMAP_MASK
    if funded & milestones != 0:
        self._refuse("escrow: milestone was funded")
    if funded == 0:
        if block.timestamp > terms.accept_by:
            self._refuse("escrow: acceptance has expired")
        self._check_terms(terms)
        self._authorize(
            terms.seller,
            ACCEPT,
            abi_encode(escrow, state >> SELLER_EPOCH, accept_deadline),
            accept_deadline,
            accept_signature,
        )
        log EscrowOpened(escrow=escrow, buyer=terms.buyer, seller=terms.seller, terms=terms)
    for i: uint256 in range(len(terms.deliver_by), bound=MAX_MILESTONES):
        if (milestones >> i) & 1 == 1:
            if block.timestamp >= terms.deliver_by[i]:
                self._refuse("escrow: delivery date has passed")
            if terms.deliver_by[i] > block.timestamp + max_window_seconds:
                self._refuse("escrow: deadline is too far")
    amount: uint256 = self._sum(terms.amounts, milestones, 0)[0]
    self.escrows[escrow] = (state | milestones << FUNDED) + amount
    log MilestonesFunded(escrow=escrow, milestones=milestones, amount=amount)
    return amount


@internal
@view
def _check_terms(terms: Terms):
    """
    @dev Refuses terms in which somebody could never act, be paid, or would judge himself.
    """
    token: address = terms.token
    for account: address in [terms.buyer, terms.seller, terms.arbiter]:
        if account == empty(address):
            self._refuse("escrow: a party is missing")
        if account == self or account == token:
            self._refuse("escrow: party is vault or token")
        if account == terms.fee_recipient:
            self._refuse("escrow: fee recipient is a party")
    if terms.buyer == terms.seller:
        self._refuse("escrow: buyer is the seller")
    if terms.arbiter == terms.buyer or terms.arbiter == terms.seller:
        self._refuse("escrow: arbiter is a party")
    if terms.fee_recipient == self or terms.fee_recipient == token:
        self._refuse("escrow: party is vault or token")
    if (terms.fee_bps == 0) != (terms.fee_recipient == empty(address)):
        self._refuse("escrow: fee or recipient missing")
    if terms.fee_bps > MAX_FEE_BPS:
        self._refuse("escrow: fee is too high")
    if terms.timeout_seller_bps > BPS:
        self._refuse("escrow: timeout part is too high")
    if terms.max_revisions > MAX_REVISIONS:
        self._refuse("escrow: too many revisions")
    for window: uint256 in [terms.review_seconds, terms.revision_seconds, terms.arbitration_seconds]:
        if window < min_window_seconds or window > max_window_seconds:
            self._refuse("escrow: window is out of limits")
    if len(terms.amounts) != len(terms.deliver_by):
        self._refuse("escrow: arrays differ in length")
    total: uint256 = 0
    for amount: uint256 in terms.amounts:
        if amount == 0:
            self._refuse("escrow: amount is zero")
        total += amount
    if total > AMOUNT_MASK:
        self._refuse("escrow: sum is too large")
    if not token.is_contract:
        self._refuse("escrow: token has no code")


@internal
def _pull_allowance(terms: Terms, amount: uint256):
    self._pull(
        terms.token,
        amount,
        abi_encode(terms.buyer, self, amount, method_id=method_id("transferFrom(address,address,uint256)")),
    )


@internal
def _pull(token: address, amount: uint256, call: Bytes[1348]):
    """
    @dev Believes neither the token's answer nor its memory of used nonces, only the vault's balance: it must grow by
         exactly `amount`, which refuses tokens that take a fee, and tokens that answer false or nothing need no care.
    """
    balance: uint256 = staticcall IERC20(token).balanceOf(self)
    raw_call(token, call)
    if staticcall IERC20(token).balanceOf(self) != balance + amount:
        self._refuse("escrow: token paid another sum")


# ------------------------------------------------------------------
#                        INTERNAL: PAYING OUT
# ------------------------------------------------------------------

@internal
def _pay_out(
    token: address,
    seller: address,
    buyer: address,
    fee_recipient: address,
    escrow: bytes32,
    state: uint256,
    milestones: uint256,
    seller_amount: uint256,
    fee: uint256,
    buyer_amount: uint256,
):
    """
    @dev The only way out of an escrow. Settles the milestones first, then pays; the fee comes out of the seller's part.
         The subtraction cannot borrow from the bitmaps: what remains is the sum of all funded, unsettled milestones,
         and every caller passes parts of exactly those he settles.
    """
    disputed: uint256 = state & (milestones << DISPUTED)
    self.escrows[escrow] = ((state ^ disputed) | milestones << SETTLED) - (seller_amount + buyer_amount)
    self._push(token, seller, seller_amount - fee)
    self._push(token, buyer, buyer_amount)
    self._push(token, fee_recipient, fee)


@internal
def _push(token: address, to: address, amount: uint256):
    """
    @dev Pays, or credits where the token refuses (blacklisted, paused), so that nobody can block another's share. The
         gas is fixed, so that a relayer cannot starve the token's call and force the credit.
    """
    if amount == 0:
        return
    if msg.gas < GAS_BEFORE_PUSH:
        self._refuse("escrow: too little gas")
    if not self._transfer(token, to, amount, PUSH_GAS):
        self.credits[token][to] += amount
        log Credited(token=token, account=to, amount=amount)


@internal
def _transfer(token: address, to: address, amount: uint256, gas_limit: uint256) -> bool:
    """
    @dev True if the token did it. Old tokens answer nothing, others a bool; both are tolerated.
    """
    success: bool = False
    response: Bytes[32] = b""
    success, response = raw_call(
        token,
        abi_encode(to, amount, method_id=method_id("transfer(address,uint256)")),
        max_outsize=32,
        gas=gas_limit,
        revert_on_failure=False,
    )
    return success and (len(response) == 0 or convert(response, uint256) == 1)


@internal
@pure
def _sum(
    amounts: DynArray[uint256, MAX_MILESTONES], milestones: uint256, fee_bps: uint256
) -> (uint256, uint256):
    """
    @return The sum of the milestones in the set, and of their fees, each rounded down.
    """
    total: uint256 = 0
    fee: uint256 = 0
    rest: uint256 = milestones
    for amount: uint256 in amounts:
        if rest & 1 == 1:
            total += amount
            fee += amount * fee_bps // BPS
        rest >>= 1
    return total, fee


# ------------------------------------------------------------------
#                          INTERNAL: STATE
# ------------------------------------------------------------------

@internal
@pure
def _require_open(state: uint256, milestones: uint256):
    """
    @dev All of them funded and none settled. `1 << milestone` is 0 for a milestone beyond 255, hence the first line.
    """
    if milestones == 0:
        self._refuse("escrow: no milestone named")
    if ((state >> FUNDED) & BITMAP_MASK) & milestones != milestones:
        self._refuse("escrow: milestone is not funded")
    if (state >> SETTLED) & milestones != 0:
        self._refuse("escrow: milestone is settled")


@internal
@pure
def _require_disputed(state: uint256, milestone: uint256):
    """
    @dev The bit goes when the milestone is settled, so it alone tells.
    """
    if milestone >= MAX_MILESTONES or (state >> (DISPUTED + milestone)) & 1 == 0:
        self._refuse("escrow: no dispute")


@internal
@view
def _milestone(escrow: bytes32, milestone: uint256, deliver_by: uint256) -> Milestone:
    """
    @dev Where a funded, unsettled milestone stands. Before anything is written, `deliver_by` is the deadline.
    """
    word: uint256 = self.milestones_of[escrow][milestone]
    if word == 0:
        return Milestone(phase=UNSUBMITTED, ends_at=deliver_by, round=0)
    return Milestone(phase=word & BYTE_MASK, ends_at=word >> DEADLINE, round=(word >> ROUND) & BYTE_MASK)


@internal
def _start(escrow: bytes32, milestone: uint256, phase: uint256, round: uint256, window: uint256) -> uint256:
    """
    @return When the window of the new phase ends.
    """
    ends_at: uint256 = block.timestamp + window
    self.milestones_of[escrow][milestone] = phase | round << ROUND | ends_at << DEADLINE
    return ends_at


@internal
@view
def _epoch(escrow: bytes32, position: uint256) -> uint256:
    return (self.escrows[escrow] >> position) & EPOCH_MASK


@internal
@pure
def _epoch_of(terms: Terms, party: address) -> uint256:
    """
    @return Where this party's epoch lies in the escrow word; refuses who is neither buyer nor seller.
    """
    if party == terms.buyer:
        return BUYER_EPOCH
    if party != terms.seller:
        self._refuse("escrow: neither buyer nor seller")
    return SELLER_EPOCH


# ------------------------------------------------------------------
#                        INTERNAL: SIGNATURES
# ------------------------------------------------------------------

@internal
@view
def _authorize(
    party: address,
    action: uint256,
    fields: Bytes[MAX_FIELDS_BYTES],
    deadline: uint256,
    signature: Bytes[MAX_SIGNATURE_BYTES],
):
    """
    @dev The party calls himself (empty signature), or has signed exactly these fields. ecrecover is tried first, then
         ERC-1271 if there is code: an EIP-7702 account has both a key and code.
    """
    if len(signature) == 0:
        if msg.sender != party:
            self._refuse("escrow: caller is not the party")
        return
    if block.timestamp > deadline:
        self._refuse("escrow: signature has expired")
    digest: bytes32 = self._digest(action, fields)
    if len(signature) == 65:
        v: uint256 = 0
        r: uint256 = 0
        s: uint256 = 0
        v, r, s = self._split(signature)
        if s <= MAX_S:
            signer: address = ecrecover(digest, v, r, s)
            if signer == party and signer != empty(address):
                return
    if not party.is_contract:
        self._refuse("escrow: signature is not valid")
    success: bool = False
    response: Bytes[32] = b""
    success, response = raw_call(
        party,
        abi_encode(digest, signature, method_id=method_id("isValidSignature(bytes32,bytes)")),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    if not success or len(response) != 32:
        self._refuse("escrow: signature is not valid")
    if convert(response, bytes32) != ERC1271_MAGIC:
        self._refuse("escrow: signature is not valid")


@internal
@pure
def _split(signature: Bytes[MAX_SIGNATURE_BYTES]) -> (uint256, uint256, uint256):
    """
    @return v, r, s of a signature of 65 bytes.
    """
    return (
        convert(slice(signature, 64, 1), uint256),
        extract32(signature, 0, output_type=uint256),
        extract32(signature, 32, output_type=uint256),
    )


@internal
@view
def _digest(action: uint256, fields: Bytes[MAX_FIELDS_BYTES]) -> bytes32:
    """
    @dev The domain is hashed anew each time: should the chain split, signatures are good on one side only.
    """
    message: bytes32 = keccak256(concat(self._type_hash(action), fields))
    domain: bytes32 = keccak256(abi_encode(DOMAIN_TYPE, NAME_HASH, VERSION_HASH, chain.id, self))
    return keccak256(concat(b"\x19\x01", domain, message))


@internal
@pure
def _type_hash(action: uint256) -> bytes32:
    if action == RELEASE:
        return keccak256("Release(bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline)")
    if action == ACCEPT:
        return keccak256(
            "Accept(Terms terms,uint256 epoch,uint256 deadline)Terms(address buyer,address seller,address arbiter,address token,uint256[] amounts,uint256[] deliver_by,uint256 accept_by,uint256 review_seconds,uint256 revision_seconds,uint256 max_revisions,uint256 arbitration_seconds,uint256 timeout_seller_bps,address fee_recipient,uint256 fee_bps,bytes32 details,bytes32 salt)"
        )
    if action == FUND:
        return keccak256("Fund(bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline)")
    if action == SUBMIT:
        return keccak256(
            "Submit(bytes32 escrow,uint256 milestone,uint256 round,bytes32 deliverable,uint256 epoch,uint256 deadline)"
        )
    if action == REQUEST_CHANGES:
        return keccak256(
            "RequestChanges(bytes32 escrow,uint256 milestone,uint256 round,bytes32 reason,uint256 epoch,uint256 deadline)"
        )
    if action == EXTEND:
        return keccak256(
            "Extend(bytes32 escrow,uint256 milestone,uint256 round,uint256 until,uint256 epoch,uint256 deadline)"
        )
    if action == RECLAIM:
        return keccak256("Reclaim(bytes32 escrow,uint256 milestone,uint256 epoch,uint256 deadline)")
    if action == REFUND:
        return keccak256("Refund(bytes32 escrow,uint256 milestones,uint256 epoch,uint256 deadline)")
    if action == SETTLE:
        return keccak256(
            "Settle(bytes32 escrow,uint256 milestones,uint256[] seller_amounts,uint256 epoch,uint256 deadline)"
        )
    if action == DISPUTE:
        return keccak256(
            "Dispute(bytes32 escrow,uint256 milestone,uint256 round,bytes32 reason,uint256 epoch,uint256 deadline)"
        )
    if action == RESOLVE:
        return keccak256(
            "Resolve(bytes32 escrow,uint256 milestone,uint256 seller_amount,bytes32 reason,uint256 deadline)"
        )
    if action == REVOKE:
        return keccak256("Revoke(bytes32 escrow,uint256 epoch,uint256 deadline)")
    if action != WITHDRAW:
        self._refuse("escrow: no such message")
    return keccak256("Withdraw(address account,address token,address to,uint256 nonce,uint256 deadline)")


@internal
@pure
def _hash_terms(terms: Terms) -> bytes32:
    return keccak256(
        abi_encode(
            TERMS_TYPE,
            terms.buyer,
            terms.seller,
            terms.arbiter,
            terms.token,
            self._hash_array(terms.amounts),
            self._hash_array(terms.deliver_by),
            terms.accept_by,
            terms.review_seconds,
            terms.revision_seconds,
            terms.max_revisions,
            terms.arbitration_seconds,
            terms.timeout_seller_bps,
            terms.fee_recipient,
            terms.fee_bps,
            terms.details,
            terms.salt,
        )
    )


@internal
@pure
def _hash_array(values: DynArray[uint256, MAX_MILESTONES]) -> bytes32:
    """
    @return EIP-712's hash of an array: of its elements, without offset and length in front.
    """
    return keccak256(slice(abi_encode(values), 64, 32 * len(values)))


@internal
@pure
def _refuse(reason: String[32]):
    """
    @dev One home for all refusals: a reason inside an `assert` takes about 130 bytes of code each time, this half.
    """
    raise reason
