"""grpc-java, as Debian ships it, against the real server; and the quick start of docs/clients.md."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import grpc_tools  # type: ignore[import-untyped]
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2

from medsafety import CheckPrescriptionRequest, MedsafetyClient
from medsafety.v1.decision_pb2 import Decision
from safety_service.demo import ARTICLE_CASE

ROOT = Path(__file__).parents[2]
# protobuf-compiler, protobuf-compiler-grpc-java-plugin, and what these packages install:
JARS = {
    "libgrpc-java": "grpc-api grpc-context grpc-core grpc-netty grpc-protobuf grpc-protobuf-lite grpc-stub",
    "libprotobuf-java": "protobuf",
    "libnetty-java": "netty-buffer netty-codec netty-codec-http netty-codec-http2 netty-codec-socks netty-common "
    "netty-handler netty-handler-proxy netty-resolver netty-transport netty-transport-native-unix-common",
    "libguava-java": "guava",
    "libperfmark-java": "perfmark-api perfmark-impl",
    "libgoogle-gson-java": "gson",
    "libgeronimo-annotation-1.3-spec-java": "geronimo-annotation-1.3-spec",
}
CLASSPATH = [Path("/usr/share/java", f"{jar}.jar") for jars in JARS.values() for jar in jars.split()]
TOOLS = ("javac", "java", "protoc", "grpc_java_plugin")
MISSING = [each for each in TOOLS if shutil.which(each) is None]
MISSING += [each.name for each in CLASSPATH if not each.exists()]

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)} of Debian's grpc-java"),
]


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path, with the messages, the quick start and the test program compiled."""
    room = tmp_path_factory.mktemp("java")
    sources, classes = room / "sources", room / "classes"
    sources.mkdir()
    health = room / "health.binpb"
    contained = FileDescriptorSet(file=[FileDescriptorProto.FromString(health_pb2.DESCRIPTOR.serialized_pb)])
    health.write_bytes(contained.SerializeToString())

    _run("make", "--no-print-directory", "build/proto-include")
    plugin = f"--plugin=protoc-gen-grpc-java={shutil.which('grpc_java_plugin')}"
    out = [plugin, f"--java_out={sources}", f"--grpc-java_out={sources}"]
    contract = sorted(str(each.relative_to(ROOT / "proto")) for each in (ROOT / "proto/medsafety/v1").glob("*.proto"))
    google = ["google/rpc/status.proto", "google/rpc/error_details.proto", "google/type/date.proto"]
    known = Path(grpc_tools.__file__).parent / "_proto"
    _run("protoc", "-I", "proto", "-I", "build/proto-include", "-I", str(known), *out, *contract, *google)
    _run("protoc", f"--descriptor_set_in={health}", *out, "grpc_health/v1/health.proto")

    path = os.pathsep.join([str(classes), *map(str, CLASSPATH)])
    files = [str(each) for each in sources.rglob("*.java")]
    own = ["clients/java/QuickStart.java", "tests/interop/java/Interop.java"]
    _run("javac", "-nowarn", "-d", str(classes), "-cp", path, *files, *own)
    return path


def test_java_gets_what_python_gets(target: str, java: str, tmp_path: Path) -> None:
    request = json_format.Parse(ARTICLE_CASE.read_bytes(), CheckPrescriptionRequest())
    (tmp_path / "request.binpb").write_bytes(request.SerializeToString())

    files = [str(tmp_path / "request.binpb"), str(tmp_path / "decision.binpb")]
    told = _run("java", "-cp", java, "Interop", target, *files).splitlines()

    in_order = ",".join(f"n{index}" if index != 7 else "n7!" for index in range(50))
    assert told == [
        "check OVERALL_ALERTS",
        f"batch {in_order}",
        f"stream {in_order}",
        "health SERVING",
        "health SERVING",
        "health SERVING",
        "refused INVALID_ARGUMENT INVALID_FIELD prescription.days_supply prescription.refills",
        "deadline DEADLINE_EXCEEDED",
        "overloaded RESOURCE_EXHAUSTED OVERLOADED later",
        "after duration.course",
    ]
    with MedsafetyClient(target, timeout=30) as client:
        assert Decision.FromString((tmp_path / "decision.binpb").read_bytes()) == client.check(request).decision


def test_the_quick_start_prints_what_pythons_prints(target: str, java: str) -> None:
    lines = _run("java", "-cp", java, "QuickStart", target).splitlines()

    assert lines[0].startswith("28 days planned")
    assert lines == _run(sys.executable, "clients/python/examples/quick_start.py", target).splitlines()


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout
