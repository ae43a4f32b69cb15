"""The page in a real browser: what people do on it, by mouse and by keyboard, and what it may never do."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python  # type: ignore[import-untyped]
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.gateway.processes import gateway_process

AXE = Path(axe_playwright_python.__file__).parent / "axe.min.js"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATHS = (
    "/",
    "/medications",
    "/medications/cyclobenzaprine-ir",
    "/options",
    "/options/acupuncture",
    "/options?ids=acupuncture,yoga",
    "/rules",
    "/rules/duration.course",
)
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with gateway_process() as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium as root, as in a container, runs without its sandbox only; it sees our own page alone.
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


DESK, PHONE = (1280, 900), (390, 844)
at_both = pytest.mark.parametrize("page", [DESK, PHONE], indirect=True, ids=["desk", "phone"])
at_phone = pytest.mark.parametrize("page", [PHONE], indirect=True, ids=["phone"])


@pytest.fixture
def page(request: Any, browser: Browser, address: str) -> Iterator[Page]:
    """A page that fails the test on any message of the console, any error and any request to elsewhere."""
    width, height = getattr(request, "param", DESK)
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    troubles: list[str] = []
    expected = getattr(request.function, "refusals", 0)
    opened.on("console", lambda message: troubles.append(f"console {message.type}: {message.text}"))
    opened.on("pageerror", lambda error: troubles.append(f"error: {error}"))
    opened.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    opened.on(
        "request",
        lambda sent: None if sent.url.startswith(f"{address}/") else troubles.append(f"outside: {sent.url}"),
    )
    yield opened
    refusals = [each for each in troubles if "400 (Bad Request)" in each]
    context.close()
    assert [each for each in troubles if each not in refusals] == []
    assert len(refusals) == expected


def titles(page: Page) -> list[str]:
    """The titles of cards and of their reasons."""
    found: list[str] = page.locator("#result .card h3, #result .card h4").all_inner_texts()
    return found


def said(page: Page, words: str) -> None:
    """Waits until the answer says so."""
    page.locator("#result", has_text=words).wait_for()


def not_said(page: Page, words: str) -> None:
    page.wait_for_function("words => !document.querySelector('#result').innerText.includes(words)", arg=words)


def picture(page: Page, name: str) -> None:
    """For people to look at, where the environment names a folder for it."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        width = page.evaluate("innerWidth")
        page.screenshot(path=str(Path(folder) / f"{name}-{width}.png"), full_page=True, timeout=90_000)


@at_both
def test_the_articles_case_is_there_at_once(page: Page, address: str) -> None:
    page.goto(address)
    assert "28 days planned; labelled for two or three weeks" in page.inner_text("#result")
    assert any("Opioid (oxycodone)" in each for each in titles(page))
    assert page.input_value("#dose") == "10"
    assert page.input_value("#days") == "14"
    assert "patient.alcohol_use" in page.inner_text("#result .open")
    assert page.locator("#result .pathway li[aria-current=step]").count() == 1
    assert not page.locator("#for-patient dl").is_visible()
    page.locator("#for-patient > summary").click()
    assert page.locator("#for-patient dl").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, "article")


def test_dose_and_days_change_the_alerts(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#dose", "5")
    not_said(page, "Start at 5 mg")
    page.fill("#refills", "0")
    not_said(page, "labelled for two or three weeks")
    page.fill("#days", "30")
    said(page, "30 days planned; labelled for two or three weeks")
    page.select_option("#alcohol", "ANSWER_YES")
    not_said(page, "patient.alcohol_use")
    request = json.loads(page.input_value("#json"))
    assert request["prescription"]["doseQuantity"] == {"value": 5, "unit": "mg"}
    assert request["prescription"]["daysSupply"] == 30
    assert "quantity" not in request["prescription"]


def test_a_proposed_change_is_made_by_its_button(page: Page, address: str) -> None:
    page.goto(address)
    page.click("button.change[data-field='prescription.refills']")
    not_said(page, "labelled for two or three weeks")
    assert page.input_value("#refills") == "0"
    page.click("button.change[data-field='prescription.dose_quantity']")
    not_said(page, "Start at 5 mg")
    assert page.input_value("#dose") == "5"
    page.click("#example")
    said(page, "Start at 5 mg")


@at_both
def test_by_keyboard_alone(page: Page, address: str) -> None:
    """From the top of the page: to the refills, to another number, to the answer, to a source, to a rule."""
    page.goto(address)

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(80):
            page.keyboard.press(key)
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
        raise AssertionError(f"the keyboard does not reach {selector}")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    tab_to("#refills")
    page.keyboard.press("Control+A")
    page.keyboard.type("0")
    not_said(page, "labelled for two or three weeks")
    tab_to("#alcohol")
    page.keyboard.press("ArrowDown")
    said(page, "alcohol")
    tab_to("button.change")
    page.keyboard.press("Enter")
    not_said(page, "Start at 5 mg")
    tab_to("#result .card summary")
    page.keyboard.press("Space")
    tab_to("#result .card details a[href*='/rules/']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/rules/**")
    assert page.locator("h1").count() == 1


def test_other_records_can_be_entered(page: Page, address: str) -> None:
    page.goto(address)
    page.click("#clear")
    page.fill("#medication", "tizanidine 4 mg tablet")
    page.fill("#dose", "4")
    page.fill("#times", "3")
    page.fill("#days", "14")
    page.fill("#medicines", "ciprofloxacin\nvitamin C")
    said(page, "iprofloxacin")
    assert page.input_value("#medicines-all") == "COMPLETENESS_PARTIAL"
    picture(page, "tizanidine")


def test_what_is_entered_is_shown_as_text(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#medicines", EVIL)
    page.fill("#problems", EVIL)
    page.fill("#medication", f"cyclobenzaprine {EVIL}")
    said(page, "<script>")
    assert page.locator("#result img, #result script").count() == 0


def test_a_file_can_be_loaded(page: Page, address: str, tmp_path: Path) -> None:
    page.goto(address)
    request = json.loads(page.input_value("#json"))
    request["prescription"]["daysSupply"] = 60
    file = tmp_path / "request.json"
    file.write_text(json.dumps(request))
    page.set_input_files("#file", file)
    said(page, "120 days planned")
    file.write_text("{")
    page.set_input_files("#file", file)
    said(page, "is not JSON")


def test_what_cannot_be_used_is_named(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#days", "a fortnight")
    said(page, "prescription.days")
    assert titles(page) == []  # no answer to another request stays beside it
    assert page.get_attribute("#days", "aria-invalid") == "true"


test_what_cannot_be_used_is_named.refusals = 1  # type: ignore[attr-defined]


@at_phone
@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_kept_out(page: Page, address: str, path: str) -> None:
    """axe-core finds nothing serious; its script comes through the debugger, since the page lets no other in."""
    page.goto(address + path)
    if path == "/":
        for each in page.locator("details > summary").all():
            if each.is_visible():
                each.click()
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")
    serious = [
        (each["id"], [node["html"] for node in each["nodes"]][:3])
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    picture(page, path.strip("/").replace("/", "-").replace("?", "-") or "all-open")


def test_every_link_of_an_answer_leads_to_a_page(page: Page, address: str) -> None:
    page.goto(address)
    links = page.locator("#result a").evaluate_all("all => all.map(each => each.href)")
    own = sorted({each.partition("#")[0] for each in links if each.startswith(address)})
    assert len(own) > 20
    for each in own:
        assert page.request.get(each).status == 200, each
