"""What can be wrong with a person's request about accounts, wallets and verification."""

from common.errors import DomainError


class InvalidAccount(DomainError):
    """The account cannot be opened or changed like this. `data["field"]` names what to change."""

    code = "invalid_account"


class EmailTaken(DomainError):
    """There is an account with this e-mail address."""

    code = "email_taken"


class InvalidCredentials(DomainError):
    """E-mail address and password do not belong together, or the account is closed."""

    code = "invalid_credentials"


class InvalidToken(DomainError):
    """A token cannot be made like this. `data["field"]` names what to change."""

    code = "invalid_token"


class ChallengeNotUsable(DomainError):
    """The text to sign is not known, was used before, or is too old."""

    code = "challenge_not_usable"


class WalletTaken(DomainError):
    """The address belongs to an account already."""

    code = "wallet_taken"


class ProofMismatch(DomainError):
    """What was signed is not this challenge, or somebody else signed it."""

    code = "proof_mismatch"


class InvalidProfile(DomainError):
    """The seller's profile cannot be saved like this. `data["field"]` names what to change."""

    code = "invalid_profile"


class ProfileLocked(DomainError):
    """Who the seller is cannot be changed while that is in review or verified."""

    code = "profile_locked"


class VerificationNotPossible(DomainError):
    """The seller's state does not allow this step of the verification now. `data["status"]` says what it is."""

    code = "verification_not_possible"


class NotAReviewer(DomainError):
    """Only people whom an operator appointed review sellers, and nobody himself."""

    code = "not_a_reviewer"
