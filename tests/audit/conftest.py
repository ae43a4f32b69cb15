import pytest

from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import load_knowledge


@pytest.fixture(scope="session")
def knowledge() -> Knowledge:
    return load_knowledge()
