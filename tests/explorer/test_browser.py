"""The page in a real browser: it asks no other host, and says nothing on the console that is an error."""

import http.client
import re
import urllib.request
from contextlib import contextmanager
from urllib.parse import quote

import h5py
import numpy as np
import pytest

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays.explorer.recording import Recording
from neuroarrays.synthetic import write_nwb
from tests.explorer.conftest import TEX

#: For what appears after work on the server, ms; the machine may be busy.
PATIENCE = 60_000


@contextmanager
def visit(browser, address, fragment="", **options):
    """A page in a profile of its own; fails on errors of the console and on foreign requests."""
    context = browser.new_context(**{"viewport": {"width": 1500, "height": 1300}, **options})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script("window.boom = () => { window.boomed = 1 }")
    wrong = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request",
        lambda r: (
            wrong.append(r.url)
            if not r.url.startswith((address, address.replace("http", "ws"), "data:", "blob:"))
            else None
        ),
    )
    page.goto(address + fragment)
    page.wait_for_selector(".bk-Figure")
    yield page
    assert wrong == []
    assert page.evaluate("typeof window.boomed") == "undefined"
    context.close()


def drawn(page, number):
    """Wait for a number of figures."""
    page.wait_for_function(f"document.querySelectorAll('*') && {DEEP}.length >= {number}")


#: All figures, through every shadow root.
DEEP = """(function all(root) {
  return [...root.querySelectorAll("*")].flatMap(
    (e) => [...(e.classList.contains("bk-Figure") ? [e] : []), ...(e.shadowRoot ? all(e.shadowRoot) : [])])
})(document)"""


@pytest.fixture(scope="module")
def small(serve, nwb):
    return serve(Recording(na.open_datatree(nwb), "# given"))


@pytest.mark.slow
def test_choose_query_keys_link_and_back(browser, small):
    with visit(browser, small) as page:
        drawn(page, 7)
        page.get_by_text("3 units").wait_for()
        page.locator(".slick-row").nth(1).click()
        page.wait_for_url("**/#v=1&u=30")
        page.mouse.click(5, 1250)
        page.keyboard.press("ArrowUp")
        page.wait_for_url("**/#v=1&u=50")
        page.keyboard.press("n")
        page.wait_for_url("**/#v=1&u=50&t=*")
        query = page.get_by_placeholder("e.g. depth > 800")
        query.fill("snr >")
        query.press("Enter")
        page.get_by_text("snr >", exact=False).last.wait_for()
        query.fill("snr > 0")
        query.press("Enter")
        page.get_by_text("3 of 3 match").wait_for()
        link = page.url
        page.go_back()
        page.wait_for_url("**/#v=1&u=50&t=*")
        page.get_by_text("3 units").wait_for()
    with visit(browser, link.partition("#")[0], "#" + link.partition("#")[2]) as page:
        page.get_by_text("3 of 3 match").wait_for()
        assert page.url == link


def figure(page, k):
    """The k-th figure of the page, brought into sight."""
    found = page.evaluate_handle(f"{DEEP}[{k}]").as_element()
    found.scroll_into_view_if_needed()
    return found, found.bounding_box()


@pytest.mark.slow
def test_brush_a_time_range_and_go_back_to_all(browser, small):
    with visit(browser, small) as page:
        drawn(page, 7)
        page.get_by_text("3 units").wait_for()
        _, at = figure(page, 0)
        middle = at["y"] + at["height"] / 2
        page.mouse.move(at["x"] + at["width"] * 0.4, middle)
        page.mouse.down()
        page.mouse.move(at["x"] + at["width"] * 0.6, middle, steps=5)
        page.mouse.up()
        page.wait_for_url("**/#v=1&t=*")
        low, high = map(float, re.search(r"t=([-\d.]+),([-\d.]+)", page.url).groups())
        assert 0 < low < high
        page.keyboard.press("0")
        page.wait_for_url("**/#v=1")


@pytest.mark.slow
def test_click_a_row_of_the_session_and_a_presentation(browser, small):
    with visit(browser, small) as page:
        drawn(page, 7)
        page.get_by_text("the recording has no frames").wait_for()
        page.get_by_text("reading spikes").wait_for(state="hidden")
        _, at = figure(page, 0)
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] * 0.45)
        page.wait_for_url("**/#v=1&u=30&at=*")
        _, at = figure(page, 2)
        page.mouse.click(at["x"] + at["width"] / 2, at["y"] + at["height"] / 2)
        page.wait_for_url("**/#v=1&u=30&t=*")
        first = page.url
        page.keyboard.press("n")
        page.wait_for_url(lambda url: url != first)
        page.keyboard.press("p")
        page.wait_for_url(lambda url: url == first)


def click_tool(page, name):
    """Click a tool of the first figure, which shows them while the pointer is in it; again if it moved away."""
    from playwright.sync_api import TimeoutError

    for _ in range(20):
        figure(page, 0)[0].hover()
        try:
            return page.locator(f".bk-tool-icon-{name}").first.click(timeout=3000)
        except TimeoutError:
            continue
    raise AssertionError(f"the tool {name!r} was never in sight")


@pytest.mark.slow
@pytest.mark.parametrize(("fragment", "kind"), [("#v=1", ".png"), ("#v=1&svg=1", ".svg")])
def test_a_figure_is_saved(browser, small, fragment, kind):
    with visit(browser, small, fragment, accept_downloads=True) as page:
        drawn(page, 7)
        page.get_by_text("the recording has no frames").wait_for()
        with page.expect_download() as saved:
            click_tool(page, "save")
        assert saved.value.suggested_filename == f"session{kind}"
        with page.expect_download() as saved:
            page.get_by_text("CSV").nth(1).click()
        assert saved.value.suggested_filename == "session.csv"


@pytest.mark.slow
def test_at_twice_the_size_all_is_within_reach(browser, small):
    """Zoom of the browser by 200 %: half the pixels of the page, each twice as wide."""
    half = {"viewport": {"width": 750, "height": 650}, "device_scale_factor": 2}
    with visit(browser, small, "#v=1", **half) as page:
        drawn(page, 7)
        page.get_by_text("the recording has no frames").wait_for()
        page.get_by_text("reading spikes").wait_for(state="hidden")
        for k in range(7):
            _, at = figure(page, k)
            assert at["width"] > 150
        page.locator(".slick-row").nth(1).click()
        page.wait_for_url("**/#v=1&u=30")


@pytest.mark.slow
def test_the_last_panel_follows_each_choice(browser, small):
    with visit(browser, small) as page:
        page.get_by_text("the recording has no frames").wait_for()
        for unit in (30, 50, 10, 30):
            page.keyboard.press("ArrowUp")
            page.wait_for_function(
                """(label) => Bokeh.documents.some(
                  (one) => one.get_model_by_name("waveform")?.data.label?.[0] == label)""",
                arg=f"unit {unit}",
                timeout=PATIENCE,
            )


def test_names_with_tex_ask_no_other_host(browser, serve, hostile):
    address = serve(Recording(na.open_datatree(hostile), "# given"))
    with visit(browser, address, f"#v=1&by={quote(TEX)}&tune={quote(TEX)}") as page:
        drawn(page, 6)
        page.get_by_text("the recording has no frames").wait_for()
        page.wait_for_timeout(1000)


def test_a_hostile_recording_runs_nothing(browser, serve, hostile):
    address = serve(Recording(na.open_datatree(hostile), "# given"))
    with visit(
        browser, address, "#v=1&by=%3Cb+onclick%3Dboom()%3E&session=%3Cimg+src=x+onerror=boom()%3E"
    ) as page:
        drawn(page, 6)
        page.get_by_text("12 of 3", exact=False).wait_for()
        assert page.locator("img[src=x]").count() == 0
        assert page.locator("b[onclick]").count() == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts", [("trials", "running"), ("units",), ("units", "trials"), ("rois", "trials")]
)
def test_recordings_that_lack_something(browser, serve, tmp_path, parts):
    write_nwb(tmp_path / "a.nwb", parts=parts)
    with visit(browser, serve(Recording(na.open_datatree(tmp_path / "a.nwb"), "# given"))) as page:
        if "units" not in parts and "rois" not in parts:
            page.get_by_text("this session has no units").first.wait_for()
        elif "trials" not in parts:
            page.get_by_text("there are no presentations").first.wait_for()
        else:
            drawn(page, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fragment",
    ["#v=1&dark=1", "#v=1&u=0,3&t=700,760&tune=position/x&map=position/y", "#v=1&svg=1"],
)
@pytest.mark.parametrize("scale", [1, 2])
def test_the_bundled_recording(browser, serve, recordings, fragment, scale):
    with visit(browser, serve(recordings["sample"]), fragment, device_scale_factor=scale) as page:
        drawn(page, 5)
        page.get_by_text("the file has no waveforms").wait_for()


@pytest.mark.slow
def test_a_recording_of_alm(browser, serve, shared_data):
    path = shared_data / "dandi000006_ALM_ephys" / "sub-anm372904_ses-20170619.nwb"
    address = serve(Recording(na.open_datatree(path), "# given"))
    with visit(
        browser,
        address,
        "#v=1&u=48&on=cue_start_time&by=type&before=-2&after=2&trials=is_good+%3D%3D+1",
    ) as page:
        drawn(page, 5)
        page.get_by_text("66 units").wait_for()


@pytest.mark.parametrize(
    ("origin", "status"),
    [("", 101), ("http://evil.example", 403), ("http://localhost.evil.example:5006", 403)],
)
def test_a_page_of_another_site_cannot_open_the_socket(serve, recordings, origin, status):
    address = serve(recordings["small"])
    host = address.split("/")[2]
    text = urllib.request.urlopen(address, timeout=60).read().decode()
    token = re.search(r'"token":"([^"]+)"', text)[1]
    asked = {
        "Origin": origin or address.rstrip("/"),
        "Upgrade": "websocket",
        "Connection": "Upgrade",
    }
    asked |= {"Sec-WebSocket-Key": "x" * 22 + "==", "Sec-WebSocket-Version": "13"}
    asked |= {"Sec-WebSocket-Protocol": f"bokeh, {token}"}
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", "/ws", headers=asked)
    assert connection.getresponse().status == status
    connection.close()


@pytest.mark.slow
def test_fewer_groups_are_drawn_and_the_page_goes_on(browser, serve, tmp_path):
    """From four groups to two to none: nothing on the console, and curves and controls follow."""
    path = tmp_path / "groups.nwb"
    write_nwb(path, trials=8)
    with h5py.File(path, "r+") as file:
        trials = file["intervals/trials"]
        for name, several in (("four", "abcd"), ("two", "ab")):
            rows = np.arange(trials["id"].size) % len(several)
            trials.create_dataset(name, data=[several[row] for row in rows])
        trials.attrs["colnames"] = [*trials.attrs["colnames"], "four", "two"]
    address = serve(Recording(na.open_datatree(path), "# given"))
    with visit(browser, address, "#v=1&by=four&tune=four") as page:
        page.get_by_text("the recording has no frames").wait_for()
        for by, n in (("two", 2), ("(none)", 1), ("four", 4)):
            page.get_by_label("group by").select_option(by)
            page.get_by_label("tune to").select_option("two" if by == "(none)" else by)
            page.wait_for_function(
                """([name, n]) => Bokeh.documents.some((one) =>
                  one.get_model_by_name(name)?.data.label?.filter((text) => text).length == n)""",
                arg=["psth", n],
            )
            page.wait_for_timeout(300)  # what is drawn may fail a frame later
            assert page.get_by_label("group by").input_value() == by
