"""Money: integers in token base units, decimals only at the edge. Never floats."""

from decimal import Decimal, InvalidOperation

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.functional import cached_property

MAX_SUM_UNITS = 2**128 - 1  # the vault keeps the remaining amount of an escrow in 128 bits


class UnitsField(models.DecimalField):
    """An amount in token base units: an exact integer of up to 78 digits (a uint256)."""

    # What the type checker's Django plugin takes attributes of this kind for: an int, unlike a DecimalField's.
    _pyi_private_set_type: int
    _pyi_private_get_type: int  # type: ignore[assignment]

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs["max_digits"] = 78
        kwargs["decimal_places"] = 0
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]

    @cached_property
    def validators(self):  # type: ignore[no-untyped-def]
        # Not DecimalField's own: they expect a Decimal, and here the value is an int.
        own = self._validators  # type: ignore[attr-defined]
        return [*self.default_validators, *own, MinValueValidator(0), MaxValueValidator(MAX_SUM_UNITS)]

    def deconstruct(self):  # type: ignore[no-untyped-def]
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def from_db_value(self, value: Decimal | None, expression: object, connection: object) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: object) -> int | None:
        if value is None or isinstance(value, int):
            return value
        if isinstance(value, float):
            raise ValidationError("an amount in base units is a whole number, not a float")
        decimal = super().to_python(value)
        if decimal is None:
            return None
        if decimal != decimal.to_integral_value():
            raise ValidationError("an amount in base units is a whole number")
        return int(decimal)

    def get_db_prep_save(self, value: object, connection: object) -> object:
        if isinstance(value, int):
            value = Decimal(value)
        return super().get_db_prep_save(value, connection)  # type: ignore[arg-type]


def to_units(amount: str | Decimal, *, decimals: int) -> int:
    """Base units of a decimal amount: ("12.5", decimals=6) → 12500000.

    Raises ValueError for what is no finite number, is negative, or has more decimal places than the token.
    """
    if isinstance(amount, float):
        raise ValueError("an amount is text or Decimal, never a float")
    try:
        value = Decimal(str(amount))
    except InvalidOperation as error:
        raise ValueError(f"{amount!r} is not an amount; write it like 1250.00") from error
    if not value.is_finite() or value < 0:
        raise ValueError(f"{amount!r} is not an amount; write it like 1250.00")
    scaled = value.scaleb(decimals)
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{amount} has more decimal places than the token's {decimals}")
    return int(scaled)


def to_decimal(units: int, *, decimals: int) -> Decimal:
    """The decimal amount of base units: (12500000, decimals=6) → Decimal("12.500000")."""
    return Decimal(units).scaleb(-decimals)


def format_units(units: int, *, decimals: int, symbol: str = "") -> str:
    """An amount as a person reads it, with its currency and at least two decimal places: "1,250.00 USDC"."""
    text = f"{to_decimal(units, decimals=decimals):,.{decimals}f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(min(2, decimals), "0")
    number = f"{whole}.{fraction}" if fraction else whole
    return f"{number} {symbol}".strip()
