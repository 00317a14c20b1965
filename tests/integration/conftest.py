"""Who and what each test has to itself: a visitor, a user, a trainer."""

from pathlib import Path
from uuid import uuid4

import pytest

from services.settings import ServiceSettings
from tests.support.trainer import Trainer


@pytest.fixture
def visitor() -> str:
    """A visitor of this test alone."""
    return f"visitor-{uuid4().hex}"


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"user-{uuid4().hex}"


@pytest.fixture
def trainer(kafka: ServiceSettings, tmp_path: Path) -> Trainer:
    """A trainer with topics, a store and a folder of the test's own."""
    return Trainer(kafka, tmp_path)
