import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from safety_service.knowledge.load import RULES_DATA, digest_of, load_knowledge
from safety_service.knowledge.read import KnowledgeError
from safety_service.knowledge.signature import SIGNATURE_FILE, KeyFileError, sign, verify


def key_pair(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RULES_DATA, tmp_path / "rules", ignore=shutil.ignore_patterns("cases", "examples")))


def test_what_was_signed_is_what_is_there(root: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    signed = sign(root, private)

    assert verify(root, public) == signed == digest_of(root) == load_knowledge(root).digest


def test_no_other_file_and_no_other_key_will_do(root: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    _, other = key_pair(tmp_path, "theirs")
    with pytest.raises(KnowledgeError, match="the knowledge is not signed"):
        verify(root, public)
    sign(root, private)
    with pytest.raises(KnowledgeError, match=r"not that of these files and this key \(theirs"):
        verify(root, other)

    file = root / "rules" / "hepatic.yaml"
    whole = file.read_bytes()
    for changed in (whole[:-1], whole + b"#\n", b""):
        file.write_bytes(changed)
        with pytest.raises(KnowledgeError, match="not that of these files"):
            verify(root, public)
    file.write_bytes(whole)
    verify(root, public)
    (root / "rules" / "more.yaml").write_text("")
    with pytest.raises(KnowledgeError, match="not that of these files"):
        verify(root, public)


def test_a_broken_signature_is_none(root: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    sign(root, private)
    for broken in (b"", b"A", b"\xff" * 64, (root / SIGNATURE_FILE).read_bytes()[:40]):
        (root / SIGNATURE_FILE).write_bytes(broken)
        with pytest.raises(KnowledgeError, match="not that of these files"):
            verify(root, public)


def test_only_ed25519_keys_are_keys(root: Path, tmp_path: Path) -> None:
    private, public = key_pair(tmp_path, "ours")
    rsa = generate_private_key(65537, 2048)
    (tmp_path / "rsa.pem").write_bytes(rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "rsa.pub").write_bytes(rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    for wrong in (public, tmp_path / "rsa.pem"):
        with pytest.raises(KeyFileError, match=wrong.name):
            sign(root, wrong)
    for wrong in (private, tmp_path / "rsa.pub"):
        with pytest.raises(KeyFileError, match=wrong.name):
            verify(root, wrong)
    assert not (root / SIGNATURE_FILE).exists()
