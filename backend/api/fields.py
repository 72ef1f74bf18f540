"""Values at the edge: money as decimal text beside its exact units, moments in UTC, addresses."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from common.money import to_decimal, to_units
from users.models import address_validator

AMOUNT = re.compile(r"^[0-9]{1,60}(\.[0-9]{1,36})?$")
AMOUNT_SCHEMA = {"type": "string", "pattern": AMOUNT.pattern, "examples": ["1250.00"]}
UNITS_SCHEMA = {"type": "string", "pattern": r"^[0-9]{1,78}$", "examples": ["1250000000"]}


def amount_text(units: int, *, decimals: int) -> str:
    """Token units as decimal text with at least two places, no separators: (1250000000, decimals=6) → "1250.00"."""
    text = f"{to_decimal(units, decimals=decimals):f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(min(2, decimals), "0")
    return f"{whole}.{fraction}" if fraction else whole


@extend_schema_field(AMOUNT_SCHEMA)
class AmountField(serializers.Field[str, Any, Any, Any]):
    """An amount in whole tokens as decimal text ("1250.00"). Numbers are refused: JSON's are floats."""

    default_error_messages = {
        "not_text": 'an amount is text, such as "1250.00", never a number',
        "not_an_amount": "write an amount like 1250.00",
    }

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("not_text")
        if not AMOUNT.fullmatch(data):
            self.fail("not_an_amount")
        return str(data)

    def to_representation(self, value: Any) -> str:
        return str(value)


def units_of(amount: str, *, decimals: int, field: str) -> int:
    """Base units of an amount that a serializer took; a ValidationError naming `field` if the token is coarser."""
    try:
        return to_units(amount, decimals=decimals)
    except ValueError as error:
        raise serializers.ValidationError({field: [str(error)]}) from error


class AddressField(serializers.CharField):
    """An address on the chain: 0x and 40 hexadecimal digits."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=42, validators=[address_validator], **kwargs)


@extend_schema_field(AMOUNT_SCHEMA)
class AmountOut(serializers.Field[Any, Any, str, Any]):
    """Reads units from `source` and shows them in whole tokens, as fine as the object's token."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        units = super().get_attribute(instance)
        return None if units is None else (units, token_of(instance).decimals)

    def to_representation(self, value: Any) -> str:
        units, decimals = value
        return amount_text(units, decimals=decimals)


@extend_schema_field(UNITS_SCHEMA)
class UnitsOut(serializers.Field[Any, Any, str, Any]):
    """An amount in token base units, as text: it may be larger than a JSON number holds exactly."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        return str(value)


def token_of(instance: Any) -> Any:
    """The token that an object's amounts are in: a deal's own, a milestone's or dispute's by its deal."""
    while not hasattr(instance, "token"):
        instance = instance.milestone if hasattr(instance, "milestone") else instance.transaction
    return instance.token
