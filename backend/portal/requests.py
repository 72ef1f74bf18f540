"""A request of somebody who is logged in, for views behind `login_required`."""

from django.http import HttpRequest

from users.models import User


class SignedInRequest(HttpRequest):
    """What `login_required` lets through. A name for type checking; Django makes plain requests."""

    user: User
