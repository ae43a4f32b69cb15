import grpc
import pytest

from medsafety import MedsafetyClient


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "localhost:1", "[::1]:1", "dns:///127.0.0.2:1", "unix:/run/medsafety.sock"]
)
def test_without_tls_a_token_may_stay_on_this_machine(target: str) -> None:
    MedsafetyClient(target, token="secret").close()


@pytest.mark.parametrize(
    "target", ["medsafety.example:443", "10.0.0.1:1", "127.0.0.1.example:1", "127.example:1", "localhost.example:1"]
)
def test_a_token_goes_to_another_machine_by_tls_only(target: str) -> None:
    with pytest.raises(ValueError, match="by TLS only"):
        MedsafetyClient(target, token="secret")
    MedsafetyClient(target, token="secret", credentials=grpc.ssl_channel_credentials()).close()
