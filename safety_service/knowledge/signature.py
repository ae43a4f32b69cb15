"""Who vouches for a folder of knowledge: an ed25519 signature over the digest of every file that speaks.

It lies in the folder as `knowledge.sig`, in base64. Keys are PEM files (`openssl genpkey -algorithm ed25519`).
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from safety_service.knowledge.load import digest_of
from safety_service.knowledge.read import KnowledgeError, Problem

SIGNATURE_FILE = "knowledge.sig"
_SAID = b"medsafety.v1 knowledge\0"  # a signature made for anything else does not fit


class KeyFileError(Exception):
    """The file is not an ed25519 key of the kind that is needed."""


def sign(root: Path, private_key: Path) -> str:
    """Write `knowledge.sig` into `root`; the digest that was signed. Raises KeyFileError, OSError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # slow to load
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key.read_bytes(), None)
    except (ValueError, TypeError):
        raise KeyFileError(f"{private_key.name}: not a private key in PEM without a passphrase") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{private_key.name}: not an ed25519 key")
    digest = digest_of(root)
    unfinished = root / f".{SIGNATURE_FILE}"
    unfinished.write_bytes(base64.b64encode(key.sign(_SAID + digest.encode())) + b"\n")
    unfinished.replace(root / SIGNATURE_FILE)
    return digest


def verify(root: Path, public_key: Path) -> str:
    """The digest that was signed. Raises KnowledgeError when it is not that of the files, KeyFileError, OSError."""
    from cryptography.exceptions import InvalidSignature  # slow to load
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(public_key.read_bytes())
    except ValueError:
        raise KeyFileError(f"{public_key.name}: not a public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFileError(f"{public_key.name}: not an ed25519 key")
    digest = digest_of(root)
    try:
        signature = base64.b64decode((root / SIGNATURE_FILE).read_bytes(), validate=False)
        key.verify(signature, _SAID + digest.encode())
    except FileNotFoundError:
        raise _unsigned("the knowledge is not signed") from None
    except (InvalidSignature, binascii.Error):
        raise _unsigned(f"the signature is not that of these files and this key ({public_key.name})") from None
    return digest


def _unsigned(reason: str) -> KnowledgeError:
    return KnowledgeError([Problem(SIGNATURE_FILE, 1, reason)])
