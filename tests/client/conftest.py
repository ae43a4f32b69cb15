"""A fake server for each test of the client."""

from collections.abc import Iterator

import pytest

from tests.client.fake_server import Fake, serve


@pytest.fixture
def fake() -> Iterator[Fake]:
    fake = Fake()
    server = serve(fake)
    yield fake
    fake.release.set()
    server.stop(grace=None).wait()
