"""What every test of the platform shares."""

from django.conf import settings


def pytest_configure() -> None:
    # A password hash that is slow on purpose would be most of the run; its strength is Django's to test.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
