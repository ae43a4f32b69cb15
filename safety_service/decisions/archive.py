"""The knowledge that decisions were made from, kept beside them: one packed file for each knowledge and policy."""

from __future__ import annotations

import errno
import io
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from safety_service.knowledge.drug_names import DrugNames
from safety_service.knowledge.knowledge import Knowledge
from safety_service.knowledge.load import digest_of, load_knowledge
from safety_service.knowledge.site_codes import read_site_codes

FOLDER = "knowledge"
_POLICY = "site/policy.yaml"
_CODES = "site/codes.csv"
_DATA = "rules_data/"


class NotArchivedError(Exception):
    """The knowledge of a decision is not in the archive, or is not what it says it is."""


def bundle_path(folder: Path, digest: str, policy_digest: str) -> Path:
    """Where the knowledge with these digests is kept."""
    return folder / FOLDER / f"{digest[:32]}-{policy_digest[:16]}.tar.gz"


def archive(folder: Path, knowledge: Knowledge, root: Path, policy: Path | None, site_codes: Path | None) -> Path:
    """Keep the files that `knowledge` was read from, unless they are kept already.

    Raises OSError, also when they have changed since they were read.
    """
    path = bundle_path(folder, knowledge.digest, knowledge.policy_digest)
    if path.exists():
        return path
    if digest_of(root, None if site_codes is None else site_codes.read_bytes()) != knowledge.digest:
        raise OSError(errno.ESTALE, "the knowledge has changed since it was read", str(root))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    file, name = tempfile.mkstemp(dir=path.parent, suffix=".new")
    try:
        with os.fdopen(file, "wb") as opened:
            with tarfile.open(fileobj=opened, mode="w:gz", compresslevel=6) as bundle:
                for each in sorted(root.rglob("*")):
                    inside = each.relative_to(root).as_posix()
                    speaks = each.suffix in {".yaml", ".tsv", ".gz"} and not inside.startswith(("cases/", "examples/"))
                    if each.is_file() and speaks:
                        _add(bundle, _DATA + inside, each.read_bytes())
                for outside, inside in ((policy, _POLICY), (site_codes, _CODES)):
                    if outside is not None:
                        _add(bundle, inside, outside.read_bytes())
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def _add(bundle: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    bundle.addfile(member, io.BytesIO(content))


def archived_knowledge(folder: Path, digest: str, policy_digest: str) -> Knowledge:
    """The knowledge with these digests. Raises NotArchivedError; KnowledgeError when this engine cannot read it."""
    path = bundle_path(folder, digest, policy_digest)
    if not path.exists():
        raise NotArchivedError(f"the knowledge {digest[:12]} with the policy {policy_digest[:12]} is not archived")
    with tempfile.TemporaryDirectory() as place:
        try:
            with tarfile.open(path) as bundle:
                bundle.extractall(place, filter="data")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise NotArchivedError(f"the archived knowledge {digest[:12]} cannot be unpacked: {error}") from None
        root, policy, codes = Path(place, _DATA), Path(place, _POLICY), Path(place, _CODES)
        site_codes = codes if codes.exists() else None
        knowledge = load_knowledge(root, policy if policy.exists() else None, site_codes)
        # The dictionary of the time, not the one installed today.
        names = DrugNames(root / "drug_names")
        if site_codes is not None:
            names = names.with_site_codes(read_site_codes(codes.name, codes.read_bytes(), names))
        knowledge = replace(knowledge, names=names)
    if (knowledge.digest, knowledge.policy_digest) != (digest, policy_digest):
        raise NotArchivedError(f"the archived knowledge {digest[:12]} is not what its name says")
    return knowledge
