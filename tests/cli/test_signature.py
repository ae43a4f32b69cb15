import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from safety_service.cli import app
from safety_service.knowledge.load import RULES_DATA, digest_of
from safety_service.knowledge.read import KnowledgeError
from safety_service.server.in_use import Files
from safety_service.server.reload import read_files

OPENSSL = shutil.which("openssl")


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["knowledge", *arguments])
    return done.exit_code, done.output


def test_knowledge_is_signed_verified_and_used_only_so(tmp_path: Path) -> None:
    if OPENSSL is None:
        pytest.skip("needs openssl")
    private, public = str(tmp_path / "private.pem"), str(tmp_path / "public.pem")
    subprocess.run([OPENSSL, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run([OPENSSL, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    ignored = shutil.ignore_patterns("cases", "examples", "*.py")
    root = Path(shutil.copytree(RULES_DATA, tmp_path / "rules", ignore=ignored))
    files = Files(root, None, None, Path(public))

    code, said = run("verify", str(root), "--key", public)
    assert (code, "not signed" in said) == (1, True)
    with pytest.raises(KnowledgeError, match=r"knowledge\.sig:1: the knowledge is not signed"):
        read_files(files)
    code, said = run("sign", str(root), "--key", private)
    assert (code, digest_of(root) in said.replace("\n", "")) == (0, True)
    code, said = run("verify", str(root), "--key", public)
    assert (code, digest_of(root) in said.replace("\n", "")) == (0, True)
    assert read_files(files).digest == digest_of(root)

    (root / "policy.yaml").write_text((root / "policy.yaml").read_text() + "# later\n")
    with pytest.raises(KnowledgeError, match="not that of these files"):
        read_files(files)
    assert run("verify", str(root), "--key", public)[0] == 1
    assert run("sign", str(root), "--key", public)[0] == 2
    (root / "severity.yaml").write_text("[")
    assert run("sign", str(root), "--key", private)[0] == 1
