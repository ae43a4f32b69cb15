"""How the gateway starts."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from safety_service.gateway.serve import run
from safety_service.gateway.settings import GatewaySettings
from safety_service.knowledge.read import KnowledgeError
from safety_service.server.settings import Settings


def test_knowledge_that_is_not_signed_is_not_used_where_a_key_is_named(tmp_path: Path) -> None:
    key = tmp_path / "public.pem"
    public = Ed25519PrivateKey.generate().public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings = GatewaySettings(listen="192.0.2.1:0")  # of no machine: nothing is ever served
    with pytest.raises(KnowledgeError, match="not signed"):
        run(settings, Settings(knowledge_key=key))
    with pytest.raises(KnowledgeError, match=r"none\.yaml:1: No such file"):
        run(settings, Settings(knowledge_key=key, policy_file=tmp_path / "none.yaml"))
