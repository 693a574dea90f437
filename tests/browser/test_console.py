"""The console as a person uses it: a journey for each page."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from playwright.async_api import expect

from services.console.pages.routes import ROUTES
from tests.browser.made_things import endpoint, failed_job, read_token, schedule
from tests.browser.watched_page import Browser, serious_findings
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, RunningFliq, free_port

pytestmark = [pytest.mark.topologies("embedded")]

HASHES = {  # of the files in npm's package axe-core 4.14.1
    "axe.min.js": "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c",
    "axe.LICENSE": "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
}
CORPUS = (
    "<script>window.hit=1</script>", '"><img src=x onerror=window.hit=1>', "' autofocus onfocus='window.hit=1",
    "</textarea><svg onload=window.hit=1>", "</title><script>window.hit=1</script>", "{{7*7}}",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(HASHES))
def test_axe_is_as_its_package_has_it(name: str) -> None:
    """Byte for byte, with its licence."""
    assert sha256(Path(__file__).with_name(name).read_bytes()).hexdigest() == HASHES[name]


async def test_a_newcomer_replays_a_failed_job_in_four_clicks(browser: Browser, client: Client, sink: Sink) -> None:
    """Overview, the failed job with the reason, replay: the copy is shown with the call that made it."""
    job = await failed_job(client, sink)
    page = await browser.open()

    await page.click(f'a[href$="{job["id"]}"]')  # 1
    await expect(page.locator(".why")).to_contain_text("its only attempt ended with HTTP 503")
    await page.click("text=Replay")  # 2

    await expect(page.locator(".said")).to_contain_text(f"/v1/jobs/{job['id']}/replay")
    await expect(page.locator("dd a code")).to_contain_text(job["id"])
    copy = page.url.rpartition("/")[2]
    assert (await client.job(copy))["url"] == job["url"]
    await page.reload()
    assert await page.locator(".said").count() == 0, "what was done is said once"


@pytest.mark.timeout(400)  # twenty pages, each judged twice
async def test_every_page_can_be_used_by_everybody(browser: Browser, client: Client, sink: Sink) -> None:
    """
    axe-core finds nothing serious on any page in light, nor does its rule for what differs in dark: the contrast.

    In a window as narrow as a telephone no page is wider than the window; what a table has no room for is reached within the table.
    """
    job = await failed_job(client, sink)
    waiting = await client.create(f"{sink.url}/ok", 3600, headers={"X-A": "1"}, body="text")
    made = await schedule(client, f"{sink.url}/ok", timezone="Europe/Berlin")
    page = await browser.open(scheme="light")
    found = {}
    told = await endpoint(client, f"{sink.url}/status/500", filter={"hosts": ["none.example"]})
    sent = (await client.call("POST", f"/v1/webhooks/endpoints/{told['id']}/test"))[1]["delivery_id"]
    jobs = ("/jobs", "/jobs?host=none", f"/jobs/{job['id']}", f"/jobs/{waiting['id']}", "/jobs/new", "/failures")
    places = ("/", *jobs, "/schedules", f"/schedules/{made['id']}", "/schedules/new", "/access", "/system")
    webhooks = ("/webhooks", "/webhooks/new", f"/webhooks/{told['id']}", f"/webhooks/deliveries/{sent}")
    for place in (*places, *webhooks, "/events?since=3600"):
        answer = await page.goto(browser.url + place)
        assert answer is not None
        assert answer.status == 200, place
        await page.emulate_media(color_scheme="light")
        in_light = await serious_findings(page)
        await page.emulate_media(color_scheme="dark")
        in_dark = await serious_findings(page, rule="color-contrast")
        await page.set_viewport_size({"width": 390, "height": 844})
        width = await page.evaluate("document.documentElement.scrollWidth")
        await page.set_viewport_size({"width": 1280, "height": 900})
        if findings := in_light + in_dark + ([f"{width} wide"] if width > 390 else []):
            found[place] = findings

    assert found == {}


async def test_a_job_is_created_changed_and_cancelled(browser: Browser, client: Client, sink: Sink) -> None:
    """Each step shows its call, and the picture follows."""
    page = await browser.open()
    await page.goto(f"{browser.url}/jobs/new")
    await page.fill("[name=url]", f"{sink.url}/ok")
    await page.fill("[name=headers]", "X-Shop: a\nX-Till: 7")
    await page.fill("[name=body]", "one")
    await page.fill("[name=delay_seconds]", "3600")
    await page.click("text=Create the job")
    await expect(page.locator(".said")).to_contain_text('"$FLIQ"/v1/jobs')
    job_id = page.url.rpartition("/")[2]
    await expect(page.locator(".why")).to_contain_text("It waits for its instant")

    await page.click("details.form summary")
    await page.fill("[name=body]", "two")
    await page.fill("[name=headers]", "X-Shop: b")
    await page.click("text=Change the job")
    await expect(page.locator(".said")).to_contain_text("-X PATCH")
    job = await client.job(job_id)
    assert (job["body"], job["headers"]) == ("two", {"X-Shop": "b"})

    await page.click("button:text-is('Cancel')")
    await expect(page.locator(".said")).to_contain_text("-X DELETE")
    await expect(page.locator(".step.now")).to_contain_text("cancelled")


async def test_a_job_runs_now_and_one_under_way_is_stopped(browser: Browser, client: Client, sink: Sink) -> None:
    """The two other things that can be done with a job that has not ended."""
    soon = await client.create(f"{sink.url}/ok", 3600)
    hanging = await client.create(f"{sink.url}/hang", 0.2)
    await sink.wait_for(lambda: sink.of(hanging["id"]))
    page = await browser.open()

    await page.goto(f"{browser.url}/jobs/{soon['id']}")
    await page.click("text=Run now")
    await expect(page.locator(".said")).to_contain_text("/run")
    await client.wait_status(soon["id"], "success")
    await page.goto(f"{browser.url}/jobs/{hanging['id']}")
    await page.click("button:text-is('Stop')")
    await expect(page.locator(".said")).to_contain_text("/stop")
    await expect(page.locator(".why")).to_contain_text("Somebody stopped it.")


async def test_more_than_one_is_asked_about_with_the_number(browser: Browser, client: Client, sink: Sink) -> None:
    """Selected rows, and a group of failures: nothing happens before the person says yes to the number."""
    jobs = [await client.create(f"{sink.url}/ok?{n}", 3600) for n in range(3)]
    page = await browser.open()
    await page.goto(f"{browser.url}/jobs")
    for job in jobs:
        await page.check(f'input[value="{job["id"]}"]')
    await page.click("text=Cancel…")
    await expect(page.locator("h1")).to_have_text("Cancel 3 jobs?")
    assert [(await client.job(job["id"]))["status"] for job in jobs] == ["scheduled"] * 3
    await page.click("text=Yes, cancel 3 jobs")
    await expect(page.locator(".said")).to_contain_text("3 of 3 jobs were cancelled")
    assert [(await client.job(job["id"]))["status"] for job in jobs] == ["cancelled"] * 3

    await failed_job(client, sink)
    await page.goto(f"{browser.url}/failures")
    await page.click(f'tr:has-text("127.0.0.1:{sink.port}") button')
    await page.click("text=/^Yes, replay/")
    await expect(page.locator(".said")).to_contain_text("jobs were replayed")


async def test_a_schedule_from_the_form_to_its_end(browser: Browser, client: Client, sink: Sink) -> None:
    """The coming runs are shown while the rule is written; then pause, resume, run, change and delete."""
    page = await browser.open()
    await page.goto(f"{browser.url}/schedules/new")
    await page.fill("[name=cron]", "61 * * * *")
    await expect(page.locator("#coming .problem")).to_be_visible()
    await page.fill("[name=cron]", "30 2 * * *")
    await page.fill("[name=timezone]", "Europe/Berlin")
    await expect(page.locator("#coming tbody tr")).to_have_count(10)
    await expect(page.locator("#coming")).to_contain_text('"timezone":"Europe/Berlin"')
    await page.fill("[name=from_day]", "2027-03-26")  # the clocks go forward on the 28th, at two
    await expect(page.locator("#coming")).to_contain_text("clock change: gap")
    await page.fill("[name=url]", f"{sink.url}/ok")
    await page.click("text=Create the schedule")
    made = page.url.rpartition("/")[2]

    await page.click("summary:text-is('Pause')")
    await page.fill("[name=note]", "closed")
    await page.click("button:text-is('Pause')")
    await expect(page.locator(".why")).to_contain_text("closed")
    await page.click("text=Resume")
    await expect(page.locator("h1 .status")).to_have_text("active")
    await page.click("text=Run now")
    await client.wait_status(page.url.rpartition("/")[2], "success")
    await page.goto(f"{browser.url}/schedules/{made}")
    await page.click("summary:text-is('Change')")
    await page.fill("details [name=cron]", "0 9 * * *")
    await page.click("text=Change the schedule")
    await expect(page.locator("h1")).to_contain_text("0 9 * * *")
    await page.click("text=Delete…")
    await page.click("text=Delete the schedule")
    await expect(page.locator(".said")).to_contain_text("-X DELETE")
    assert (await client.call("GET", f"/v1/schedules/{made}"))[0] == 404


async def test_a_token_is_made_shown_once_and_revoked(browser: Browser, client: Client) -> None:
    """It is in the page that made it and in no other; revoking names how many go."""
    page = await browser.open()
    await page.goto(f"{browser.url}/access")
    await page.click("summary:text-is('New token')")
    await page.fill("details [name=name]", "till 7")
    await page.check("[name=scope][value=read]")
    await page.click("text=Make the token")
    token = await page.locator(".said pre").inner_text()
    async with Client(client.url, token.strip()) as other:
        assert (await other.call("GET", "/v1/account"))[1]["token"]["scopes"][0] == "read"
    await page.goto(f"{browser.url}/access")
    assert token not in await page.content()
    await page.click("tr:has-text('till 7') button")
    await expect(page.locator("h1")).to_have_text("Revoke 1 token?")
    await page.click("button:text-is('Revoke 1 token')")
    await expect(page.locator(".said")).to_contain_text("1 token was revoked")


async def test_a_token_that_may_only_read_changes_nothing(browser: Browser, client: Client, sink: Sink) -> None:
    """Its buttons are disabled and say why, and every write is 403."""
    job = await failed_job(client, sink)
    made = await schedule(client, f"{sink.url}/ok")
    each = await endpoint(client, f"{sink.url}/ok", filter={"hosts": ["none.example"]})
    told = ("/webhooks/new", f"/webhooks/{each['id']}")
    page = await browser.open(await read_token(client))
    for place in (
        f"/jobs/{job['id']}",
        "/jobs",
        "/failures",
        "/schedules/new",
        f"/schedules/{made['id']}",
        "/access",
        *told,
    ):
        await page.goto(browser.url + place)
        await expect(page.locator(".lacks").first).to_contain_text("does not have the scope")
        writes = page.locator("main form[method=post] button, main .act button")
        for at in range(await writes.count()):
            assert await writes.nth(at).is_disabled(), (place, await writes.nth(at).inner_text())

    secret = await page.locator(".top [name=secret]").get_attribute("value")
    cookies = {each["name"]: each["value"] for each in await page.context.cookies()}
    answered = await posts(browser, cookies, {"secret": secret or "", "action": "cancel", "job": job["id"]}, job["id"])
    assert set(answered.values()) == {403}


async def posts(browser: Browser, cookies: dict[str, str], form: dict[str, str], item: str) -> dict[str, int]:
    """Return what every write of the console is answered with."""
    found = {}
    async with aiohttp.ClientSession(cookies=cookies) as session:
        for method, path, _, _ in ROUTES:
            if method == "POST":
                url = browser.url + path.replace("{}", item)
                async with session.post(
                    url, data=form, headers={"Sec-Fetch-Site": "same-origin"}, allow_redirects=False
                ) as answer:
                    found[path] = answer.status
    return found


async def test_a_write_that_no_page_of_ours_made_is_refused(browser: Browser, client: Client, sink: Sink) -> None:
    """Another site has the cookie at best, and not the secret; and its browser says where it comes from."""
    job = await client.create(f"{sink.url}/ok", 3600)
    page = await browser.open()
    cookies = {each["name"]: each["value"] for each in await page.context.cookies()}
    secret = await page.locator(".top [name=secret]").get_attribute("value") or ""
    url = f"{browser.url}/jobs/{job['id']}/act"
    async with aiohttp.ClientSession(cookies=cookies) as session:
        for form, headers in (
            ({"action": "cancel", "secret": secret}, {"Sec-Fetch-Site": "cross-site"}),
            ({"action": "cancel", "secret": secret}, {}),
            ({"action": "cancel", "secret": "guess"}, {"Sec-Fetch-Site": "same-origin"}),
            ({"action": "cancel"}, {"Sec-Fetch-Site": "same-origin"}),
        ):
            async with session.post(url, data=form, headers=headers, allow_redirects=False) as answer:
                assert answer.status == 403
                assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert (await client.job(job["id"]))["status"] == "scheduled"


async def test_no_text_of_a_job_or_schedule_runs(browser: Browser, client: Client, sink: Sink) -> None:
    """Whatever stands in a URL, header, body, key, note, name or address."""
    browser.expected.append("400 (Bad Request)")  # of a stream of events that there are not
    page = await browser.open()
    pages = ["/jobs", "/failures", "/schedules", "/access", "/webhooks", "/events?since=3600", "/"]
    for number, text in enumerate(CORPUS):
        fields: dict[str, Any] = {"body": text, "headers": {"X-A": text}}
        url = f"{sink.url}/status/500?{quote(text)}"
        job = await client.create(url, 0.1, **fields, idempotency_key=f"{number}{text}")
        made = await schedule(client, url, **fields)
        await client.call("POST", f"/v1/schedules/{made['id']}/pause", {"note": text})
        await client.call("POST", "/v1/tokens", {"name": text, "scopes": ["read"]})
        told = await endpoint(client, url, description=text, filter={"hosts": ["none.example"]})
        sent = (await client.call("POST", f"/v1/webhooks/endpoints/{told['id']}/test"))[1]["delivery_id"]
        pages += [f"/webhooks/{told['id']}", f"/webhooks/deliveries/{sent}", f"/events?types={quote(text)}"]
        asked = f"/jobs?q={quote(text)}&host={quote(text)}&error={quote(text)}"
        pages += [f"/jobs/{job['id']}", f"/schedules/{made['id']}", asked]
    for place in pages:
        await page.goto(browser.url + place)
        assert await page.evaluate("window.hit") is None, place


async def test_it_works_apart_and_behind_a_path(fliq: RunningFliq, client: Client) -> None:
    """`fliq console` needs the API's address alone, and its links begin with its path."""
    process = fliq.spawn("console", FLIQ_PORT=str(free_port()), FLIQ_API_URL=fliq.url, FLIQ_CONSOLE_PATH="/tools/fliq")
    process.wait_ready()
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            form, headers = {"token": client.token}, {"Sec-Fetch-Site": "same-origin"}
            async with session.post(f"{process.url}/tools/fliq/login", data=form, headers=headers) as answer:
                text = await answer.text()
                assert answer.status == 200, text
                assert str(answer.url) == f"{process.url}/tools/fliq/"
        assert 'href="/tools/fliq/jobs"' in text
        assert "/console/" not in text
    finally:
        process.stop()
