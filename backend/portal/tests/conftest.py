"""The cast at the portal's door: browsers without JavaScript, each logged in as one of them."""

from collections.abc import Callable

import pytest
from django.test import Client

from transactions.tests.cast import Person, Stage, stage
from transactions.tests.cast import person as make_person
from users.models import User

Door = Callable[[Person | User], Client]


@pytest.fixture
def on_stage(db: None) -> Stage:
    return stage()


@pytest.fixture
def rei(db: None) -> Person:
    return make_person("Rei", is_reviewer=True)


@pytest.fixture
def door() -> Door:
    """A browser in which this person is logged in."""

    def come_in(who: Person | User) -> Client:
        client = Client()
        client.force_login(who.user if isinstance(who, Person) else who)
        return client

    return come_in
