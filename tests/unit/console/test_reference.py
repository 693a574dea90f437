"""The API's reference, and calls that are made from it with the session's token."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from services.console.http_messages import Request
from services.console.pages.reference import PATH
from tests.unit.console.logged_in import TOKEN, Person

FROM_US = {"sec-fetch-site": "same-origin"}


class PassedOn:
    """Notes the calls that are passed on, and answers each."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, str, bytes, Mapping[str, str]]] = []

    async def pass_on(
        self, token: str, method: str, path: str, document: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        self.made.append((token, method, path, document, headers))
        return 201, b'{"id": "job_1"}', {"content-type": "application/json", "retry-after": "3", "set-cookie": "no"}


@pytest.fixture
async def person() -> Person:
    return await Person().log_in()


@pytest.fixture
def passed(person: Person, monkeypatch: pytest.MonkeyPatch) -> PassedOn:
    found = PassedOn()
    monkeypatch.setattr(person.api, "pass_on", found.pass_on)
    return found


def cookies(person: Person) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in person.cookies.items())}


async def asked(person: Person, method: str, path: str, headers: Mapping[str, str], document: bytes = b"") -> int:
    request = Request(method, f"{PATH}{path}", [("limit", "5")], [], {**cookies(person), **headers}, document)
    return (await person.site.answer(request)).status


async def test_everybody_may_read_it(person: Person) -> None:
    """The page and the document need no session; nothing inline, and no token in the page."""
    person.cookies.clear()
    page = await person.site.answer(Request("GET", PATH, [], [], {}))
    document = await person.site.answer(Request("GET", f"{PATH}/openapi.json", [], [], {}))

    assert (page.status, document.status) == (200, 200)
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert b'name="fliq-secret" content=""' in page.body
    assert orjson.loads(document.body)["paths"]


async def test_a_call_is_made_with_the_token_of_the_session(person: Person, passed: PassedOn) -> None:
    """Method, path, query, body and the headers that the API knows; the page never has the token."""
    page = await person.site.answer(Request("GET", PATH, [], [], cookies(person)))
    assert person.secret.encode() in page.body
    assert TOKEN.encode() not in page.body
    headers = {**FROM_US, "x-fliq-secret": person.secret, "if-match": '"v1"', "x-else": "1"}
    request = Request("POST", f"{PATH}/call/v1/jobs", [("limit", "5")], [], {**cookies(person), **headers}, b"{}")

    answer = await person.site.answer(request)

    assert passed.made == [(TOKEN, "POST", "/v1/jobs?limit=5", b"{}", {"if-match": '"v1"'})]
    assert (answer.status, answer.body) == (201, b'{"id": "job_1"}')
    assert answer.headers["retry-after"] == "3"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        (FROM_US, 403),
        ({**FROM_US, "x-fliq-secret": "guess"}, 403),
        ({"sec-fetch-site": "cross-site", "x-fliq-secret": "own"}, 403),
        ({"cookie": "", **FROM_US, "x-fliq-secret": "own"}, 401),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_no_other_page_makes_calls(
    person: Person, passed: PassedOn, method: str, headers: dict[str, str], status: int
) -> None:
    """A call needs the session, its secret, and a browser that says that it comes from a page of ours; also a GET."""
    given = {name: person.secret if value == "own" else value for name, value in headers.items()}

    assert await asked(person, method, "/call/v1/jobs", given) == status
    assert passed.made == []


@pytest.mark.parametrize("path", ["/call/metrics", "/call/v2/jobs", "/call", "/else", "/call/../console"])
async def test_only_the_api_is_called(person: Person, passed: PassedOn, path: str) -> None:
    """Whatever the page asks for."""
    assert await asked(person, "GET", path, {**FROM_US, "x-fliq-secret": person.secret}) == 404
    assert passed.made == []
