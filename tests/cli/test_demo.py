"""The demo's server: an address only when it serves, and its own words when it does not."""

from __future__ import annotations

import pytest

from safety_service import demo


def test_a_server_that_does_not_start_tells_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSAFETY_THREADS", "0")
    with pytest.raises(demo.ServerFailedError, match="MEDSAFETY_THREADS"), demo.server_process():
        pass


def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "_START_SECONDS", 0)
    with pytest.raises(demo.ServerFailedError, match="did not start"), demo.server_process():
        pass


def test_the_article_case_names_no_real_patient() -> None:
    case = demo.article_case()
    assert case.patient.id == "patient-1"
    assert case.prescription.refills == 1
