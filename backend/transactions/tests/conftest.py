import pytest

from transactions.tests import cast


@pytest.fixture
def stage(db: None) -> cast.Stage:
    return cast.stage()
