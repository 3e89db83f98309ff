"""The report in a real browser: clicks, keys, phones, print, without JavaScript."""

import re

import pytest
from report_tasks import EVIL, lacking

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True}


def column(page, table, place):
    """The texts of a table's column, from the top."""
    return page.eval_on_selector_all(
        f"{table} tbody tr:not([hidden])",
        f"rows => rows.map(row => row.cells[{place}].textContent.trim())",
    )


def number(text):
    found = re.match(r"-?\d+\.?\d*", text.replace("−", "-"))
    return float(found[0]) if found else None


def test_the_first_screen_holds_the_verdict(recorded_page, visit):
    page = visit(recorded_page)
    for text in (".say", ".strip", ".not", ".first figure svg"):
        box = page.locator(text).bounding_box()
        assert box["y"] + box["height"] < 900, text
    assert page.locator(".say").inner_text().startswith("Train at the rate that consensus picks")


def test_a_click_and_a_key_sort_the_ranking(recorded_page, visit):
    page = visit(recorded_page)
    head = page.locator("#ranks thead th", has_text="worst")
    head.get_by_role("button").click()
    worst = [number(text) for text in column(page, "#ranks", 5)]
    assert worst == sorted(worst)
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    worst = [number(text) for text in column(page, "#ranks", 5)]
    assert worst == sorted(worst, reverse=True)
    assert head.get_attribute("aria-sort") == "descending"
    rank = page.locator("#ranks thead th", has_text="mean rank")
    rank.get_by_role("button").click()
    ranks = [number(text) for text in column(page, "#ranks", 2)]
    told = [each for each in ranks if each is not None]
    assert told == sorted(told)
    assert None not in ranks[: len(told)]  # what has no rank comes last
    assert head.get_attribute("aria-sort") is None


def test_a_filter_leaves_one_kind_and_its_own_ranking_and_the_link_keeps_it(recorded_page, visit):
    page = visit(recorded_page)
    everything = page.locator("details.task[data-kind]").count()
    page.locator("#filter select[name=kind]").select_option("regression")
    shown = page.locator("details.task[data-kind]:visible")
    assert 0 < shown.count() < everything
    assert {each.get_attribute("data-kind") for each in shown.all()} == {"regression"}
    assert page.locator("#ranks").is_hidden()
    own = page.locator("#by-kind [data-kind=regression]")
    assert own.is_visible()
    assert page.locator("#by-kind [data-kind=classification]").is_hidden()
    assert page.url.endswith("#kind=regression")
    page.locator("#filter select[name=from]").select_option("peer")
    assert {row.get_attribute("data-from") for row in own.locator("tbody tr:visible").all()} == {
        "peer"
    }
    page.locator(".bar a", has_text="heat map").click()
    assert page.url.endswith("#kind=regression&from=peer&at=heat")
    heads = page.locator(".heat thead th[data-from]:visible")
    assert {each.get_attribute("data-from") for each in heads.all()} == {"peer"}
    again = visit(recorded_page, "#" + page.url.partition("#")[2])
    assert again.locator("details.task[data-kind]:visible").count() == shown.count()
    assert again.locator("#filter select[name=from]").input_value() == "peer"
    assert 0 <= again.locator("#heat").bounding_box()["y"] < 300


def test_the_heat_map_leads_to_a_task_and_a_link_unfolds_it(recorded_page, visit):
    page = visit(recorded_page)
    link = page.locator(".heat tbody th a").nth(5)
    target = link.get_attribute("href")
    assert page.locator(f"{target} figure").is_hidden()
    link.click()
    assert page.locator(f"{target} figure svg").is_visible()
    assert page.url.endswith(target)
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    deep = visit(recorded_page, target)
    assert deep.locator(f"{target} figure svg").is_visible()
    assert deep.locator(target).bounding_box()["y"] < 300
    deep.wait_for_function("document.activeElement.tagName === 'SUMMARY'")
    deep.keyboard.press("Enter")
    assert deep.locator(f"{target} figure svg").is_hidden()


def test_pointing_at_a_row_lifts_its_line_and_at_a_cell_its_column(recorded_page, visit):
    page = visit(recorded_page)
    page.locator("#ranks tr[data-c=fastai-minimum] th").hover()
    lit = page.locator("[id^=profile-mark-].on")
    assert lit.get_attribute("id") == "profile-mark-fastai-minimum"
    assert page.locator("svg.dim").count() == 1
    page.locator(".heat tbody td").nth(30).hover()
    assert page.locator(".heat td.col").count() == page.locator(".heat tbody tr").count()
    assert page.locator("svg.dim").count() == 0


def test_it_is_read_by_the_keyboard_alone(recorded_page, visit):
    page = visit(recorded_page)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.url.endswith("#ranking")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#ranks') !== null")


def test_without_javascript_all_is_there_and_nothing_is_dead(recorded_page, visit):
    page = visit(recorded_page, java_script_enabled=False)
    assert page.locator("#ranks tbody tr").first.is_visible()
    assert page.locator("#filter").is_hidden()
    assert page.locator("thead button").count() == 0
    task = page.locator("details.task[data-kind]").first
    task.locator("> summary").click()
    assert task.locator("figure svg").is_visible()
    page.locator(".bar a", has_text="provenance").click()
    assert page.url.endswith("#provenance")
    with page.expect_download() as started:
        page.locator("a[download='ranking.csv']").click()
    lines = started.value.path().read_text().splitlines()
    assert lines[0].startswith("contestant,tasks,families")
    assert len(lines) > 20


def test_a_phone_scrolls_one_way(recorded_page, visit):
    page = visit(recorded_page, **PHONE)
    for unfolded in ("#task0", "#lesson4", "#reading ~ details"):
        page.eval_on_selector(unfolded, "each => { each.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    name = page.locator("#ranks tbody th").nth(2)
    assert name.bounding_box()["width"] < 200
    small = page.eval_on_selector_all(
        "#task0 figure svg text, .first figure svg text",
        "all => Math.min(...all.map(each => each.getBoundingClientRect().height))",
    )
    assert small > 8
    assert page.locator("#task0 figure svg").bounding_box()["width"] > 300


def test_it_prints_with_what_is_folded_and_without_what_is_a_control(recorded_page, visit):
    page = visit(recorded_page)
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden()
    assert page.locator("#teacher ~ details table").is_visible()
    assert page.locator("#task0 figure").is_hidden()  # else that would be a hundred sheets
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert 5 < len(re.findall(rb"/Type\s*/Page\b", printed)) < 60


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(small_page, visit, scheme):
    try:
        from axe_playwright_python.sync_playwright import Axe
    except ImportError:
        lacking("axe-playwright-python is not installed; pip install -e '.[dev]'")
    page = visit(small_page, color_scheme=scheme)
    page.evaluate("""document.querySelectorAll("details:not(.task), #task0, #lesson0")
        .forEach(each => { each.open = true })""")
    options = {"resultTypes": ["violations"]}
    if scheme == "dark":  # nothing else depends on it
        options["runOnly"] = ["color-contrast"]
    found = Axe().run(page, options=options).response
    serious = [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"][:3]
    ]
    assert serious == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    assert "color-contrast" in {each["id"] for each in found["passes"]}


@pytest.mark.parametrize("what", ["empty", "one task", "all failed", "hostile", "compared"])
def test_every_input_is_a_page_that_works(odd_pages, visit, what):
    page = visit(odd_pages[what], **PHONE)
    page.evaluate("""document.querySelectorAll("details").forEach(each => { each.open = true })""")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
    assert len(ids) == len(set(ids))
    assert page.locator(".say").inner_text()
    assert page.evaluate("window.ran") is None  # no name became code
    if what == "hostile":
        assert EVIL in page.locator("h1").inner_text()
        assert EVIL in page.locator("details.task > summary").inner_text()
