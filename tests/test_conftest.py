"""The promise of `make test STRICT=1`: a skip fails; without it, every skip is named in the last lines."""

from pathlib import Path

import pytest

SKIPPING_TESTS = """
    import pytest

    def test_passes():
        pass

    @pytest.mark.skipif(True, reason="needs no_such_tool")
    def test_lacks_a_tool():
        pass

    def test_finds_no_tool():
        pytest.skip("needs no_such_tool either")

    @pytest.mark.xfail(reason="known", strict=True)
    def test_is_expected_to_fail():
        assert False
"""


def test_names_each_skip_with_its_reason_at_the_end(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STRICT", raising=False)
    _copy_conftest(pytester)
    pytester.makepyfile(test_some=SKIPPING_TESTS)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, skipped=2, xfailed=1)
    assert result.ret == 0
    assert result.outlines[-3:-1] == [
        "SKIPPED test_some.py::test_lacks_a_tool: needs no_such_tool",
        "SKIPPED test_some.py::test_finds_no_tool: needs no_such_tool either",
    ]


def test_strict_turns_a_skip_into_a_failure(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRICT", "1")
    _copy_conftest(pytester)
    pytester.makepyfile(test_some=SKIPPING_TESTS)
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1, failed=1, errors=1, xfailed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["skipped, which STRICT forbids: needs no_such_tool either"])


def test_strict_fails_a_module_that_skips_itself(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRICT", "1")
    _copy_conftest(pytester)
    pytester.makepyfile(test_some='import pytest\npytest.skip("needs no_such_tool", allow_module_level=True)')
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    assert result.ret != 0


def _copy_conftest(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text())
