"""People: accounts, their wallets, what sellers show of themselves and how they were verified."""

from django.conf import settings
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower

address_validator = RegexValidator(r"^0x[0-9a-fA-F]{40}$", "an address is 0x and 40 hexadecimal digits")


class UserManager(BaseUserManager["User"]):
    """Accounts are known by their e-mail address, compared without case."""

    def create_user(self, email: str, password: str | None = None, **fields: object) -> "User":
        if not email:
            raise ValueError("an account needs an e-mail address")
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: object) -> "User":
        return self.create_user(email, password, **{**fields, "is_staff": True, "is_superuser": True})

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractUser):
    """A person. Operator: `is_staff`. Arbiters and reviewers are appointed by an operator."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    display_name = models.CharField(max_length=80)
    time_zone = models.CharField(max_length=64, default="UTC", help_text="IANA name, used at the edge only")
    is_arbiter = models.BooleanField(default=False)
    is_reviewer = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = ["display_name"]
    objects: UserManager = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_without_case")]

    def __str__(self) -> str:
        return self.display_name or self.email

    @property
    def is_operator(self) -> bool:
        return self.is_staff


class ApiToken(models.Model):
    """A machine's key to the API. Only its hash is kept; the token itself is shown once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    token_hash = models.CharField(max_length=64, unique=True, help_text="SHA-256 of the token")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"


class Wallet(models.Model):
    """An address of which its owner proved control."""

    class Kind(models.TextChoices):
        LINKED = "LINKED", "the owner's own wallet"
        SANDBOX = "SANDBOX", "key held by the platform, development chain only"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="wallets")
    address = models.CharField(max_length=42, validators=[address_validator], help_text="EIP-55 checksummed")
    kind = models.CharField(max_length=10, choices=Kind)
    is_primary = models.BooleanField(default=False)
    verified_at = models.DateTimeField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("address"), name="wallet_address_belongs_to_one_account"),
            models.UniqueConstraint("user", condition=models.Q(is_primary=True), name="wallet_one_primary_per_account"),
        ]

    def __str__(self) -> str:
        return self.address


class WalletChallenge(models.Model):
    """A nonce given out for an EIP-4361 message; used once."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    address = models.CharField(max_length=42, validators=[address_validator])
    message = models.TextField(help_text="the exact EIP-4361 text to sign")
    nonce = models.CharField(max_length=32, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"challenge for {self.address}"


class SellerProfile(models.Model):
    """What a seller shows, and whether the platform verified who that is."""

    class Kind(models.TextChoices):
        INDIVIDUAL = "INDIVIDUAL", "individual"
        COMPANY = "COMPANY", "company"

    class Status(models.TextChoices):
        UNVERIFIED = "UNVERIFIED", "not verified"
        PENDING = "PENDING", "in review"
        VERIFIED = "VERIFIED", "verified"
        REJECTED = "REJECTED", "rejected"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="seller_profile")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.INDIVIDUAL)
    legal_name = models.CharField(max_length=120)
    headline = models.CharField(max_length=160, blank=True)
    skills = models.JSONField(default=list, blank=True, help_text="list of short strings")
    verification_status = models.CharField(max_length=10, choices=Status, default=Status.UNVERIFIED)
    verified_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(verification_status__in=["UNVERIFIED", "PENDING", "VERIFIED", "REJECTED"]),
                name="seller_verification_status_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(verification_status="VERIFIED") | models.Q(verified_at__isnull=False),
                name="seller_verified_has_a_date",
            ),
        ]

    def __str__(self) -> str:
        return self.legal_name


class VerificationRequest(models.Model):
    """One submission of documents by a seller, and what a reviewer decided of it."""

    class Decision(models.TextChoices):
        PENDING = "PENDING", "waiting for a reviewer"
        VERIFIED = "VERIFIED", "verified"
        REJECTED = "REJECTED", "rejected"

    profile = models.ForeignKey(SellerProfile, on_delete=models.PROTECT, related_name="verification_requests")
    documents = models.ManyToManyField("documents.Document", related_name="+")
    decision = models.CharField(max_length=10, choices=Decision, default=Decision.PENDING)
    reason = models.TextField(blank=True, max_length=2000)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    submitted_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "profile", condition=models.Q(decision="PENDING"), name="verification_one_open_request_per_seller"
            ),
            models.CheckConstraint(
                condition=models.Q(decision="PENDING", decided_at__isnull=True)
                | (~models.Q(decision="PENDING") & models.Q(decided_at__isnull=False, decided_by__isnull=False)),
                name="verification_decision_names_its_reviewer",
            ),
        ]

    def __str__(self) -> str:
        return f"verification of {self.profile}"
