"""The list of packages that `make sbom` writes holds every package of its lock, with version and hashes."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@pytest.mark.parametrize("lock", ["runtime", "gateway"])
def test_each_locked_package_is_in_it(lock: str, tmp_path: Path) -> None:
    out = tmp_path / "sbom.cdx.json"
    rule = (ROOT / "Makefile").read_text().partition("\nsbom:")[2].partition("\n\n")[0]
    options = ["requirements", "--pyproject", "pyproject.toml", "--output-reproducible", "--validate"]
    assert " ".join(options) in rule.replace("\\\n\t\t\t", ""), "as make does it"
    command = [sys.executable, "-W", "ignore", "-m", "cyclonedx_py", *options]
    subprocess.run(
        [*command, "--output-file", str(out), f"requirements/{lock}.lock"], cwd=ROOT, check=True, capture_output=True
    )
    made = json.loads(out.read_text())

    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    locked = dict(LOCKED.findall(text))
    assert len(locked) > 20
    assert {each["name"]: each["version"] for each in made["components"]} == locked
    assert made["bomFormat"] == "CycloneDX"
    assert made["metadata"]["component"]["name"] == "medication-safety-service"
    hashes = {
        each["content"]
        for component in made["components"]
        for reference in component["externalReferences"]
        for each in reference.get("hashes", ())
    }
    assert hashes == set(HASH.findall(text))
