"""
Redaction: takes out of a text what must not be kept.

    secrets    what the request itself carried: a target may echo it, as it is or spelled as JSON, in a URL or in HTML
    names      values behind these names, in JSON (also in JSON that stands within a text) and in forms
    tokens     words that begin as secrets do

Of a text that was cut, the part of a secret at the cut is taken out, too: all beginnings (or ends) of secrets, and at the
beginning of a tail the rest of the word, since it may be the end of a token.

Every step takes time in proportion to the text, whatever it holds: a hostile target chooses it. So tokens are told by how they
begin, not by patterns of the operator.
"""

import html
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, quote_plus

MARK: Final = "[redacted]"
SECRET_MIN: Final = 4  # characters; a shorter text stands in every answer
PART_MIN: Final = 8  # of a part of a header's value
TOKEN_BEGINNINGS: Final = ("whsec_", "fliq_sk_")
_IN_TOKENS: Final = r"[A-Za-z0-9._~+/=\-]"
_SCHEMES: Final = re.compile(rf"\b(?:bearer|basic)(?: |%20|\+)+{_IN_TOKENS}{{4,}}", re.IGNORECASE)
_REST_OF_WORD: Final = re.compile(rf"{_IN_TOKENS}+")
_PARTS: Final = re.compile(r"[\s;,=\"']+")
_QUOTE: Final = re.compile(r"[\"']")
_BRACKETS: Final = re.compile(r"[\"'{}\[\]]")
_BARE: Final = re.compile(r"[^,}\]\s&\"'<>]*")
_DEPTH_MAX: Final = 32


def parts_of(value: str) -> set[str]:
    """Return *value*, and its parts that are long enough to be secrets themselves: a target may show a cookie by itself."""
    return {value, *(part for part in _PARTS.split(value) if len(part) >= PART_MIN)}


def query_values(url: str) -> set[str]:
    """Return the values in the query of *url*, as they stand there and decoded."""
    query = url.partition("?")[2]
    as_written = {part.partition("=")[2] or part for part in query.split("&")}
    return as_written | {value for _, value in parse_qsl(query, errors="replace")}


def named_values(body: str | bytes, names: Iterable[str]) -> set[str]:
    """Return the texts and numbers that stand behind *names* in *body*, if that is JSON."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    found: set[str] = set()
    wanted = {name.lower() for name in names}
    waiting: list[tuple[Any, bool, int]] = [(document, False, 0)]
    while waiting:
        value, is_wanted, depth = waiting.pop()
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            waiting += [(each, is_wanted or name.lower() in wanted, depth + 1) for name, each in value.items()]
        elif isinstance(value, list) and depth < _DEPTH_MAX:
            waiting += [(each, is_wanted, depth + 1) for each in value]
        elif is_wanted and isinstance(value, str | int | float) and not isinstance(value, bool):
            found.add(str(value))
    return found


class Redactor:
    """Takes out what one job must not have kept. *count* says how often it did."""

    def __init__(
        self, secrets: Iterable[str], *, names: Sequence[str] = (), token_beginnings: Sequence[str] = ()
    ) -> None:
        """
        Prepare.

        Args:
            secrets: texts; those shorter than `SECRET_MIN` are left alone.
            names: of values, in any letter case.
            token_beginnings: besides `TOKEN_BEGINNINGS`.
        """
        spelled = {spelling for secret in secrets if len(secret) >= SECRET_MIN for spelling in _spellings(secret)}
        self._spellings = sorted(spelled, key=len, reverse=True)
        self._names = _names_pattern(names) if names else None
        beginnings = "|".join(map(re.escape, (*TOKEN_BEGINNINGS, *token_beginnings)))
        self._tokens = re.compile(rf"(?:{beginnings}){_IN_TOKENS}+")
        self.count = 0

    def redacted(self, text: str, *, is_end_cut: bool = False, is_start_cut: bool = False) -> str:
        """Return *text* without what must not be kept; what is said to be cut goes on there."""
        if is_end_cut:
            text = self._without_cut_end(text)
        if is_start_cut:
            text = self._without_cut_start(text)
        for spelling in self._spellings:
            if spelling in text:
                self.count += text.count(spelling)
                text = text.replace(spelling, MARK)
        if self._names is not None:
            text = self._without_named(text)
        for pattern in (_SCHEMES, self._tokens):
            text, count = pattern.subn(MARK, text)
            self.count += count
        return text

    def _without_cut_end(self, text: str) -> str:
        start = len(text)
        for spelling in self._spellings:
            at = text.find(spelling[:SECRET_MIN], max(0, len(text) - len(spelling) + 1))
            while at != -1 and at < start:
                if spelling.startswith(text[at:]):
                    start = at
                at = text.find(spelling[:SECRET_MIN], at + 1)
        return self._marked(text[:start], "", start < len(text))

    def _without_cut_start(self, text: str) -> str:
        end = 0
        for spelling in self._spellings:
            at = text.rfind(spelling[-SECRET_MIN:], 0, len(spelling) - 1)
            while at != -1 and at + SECRET_MIN > end:
                if spelling.endswith(text[: at + SECRET_MIN]):
                    end = at + SECRET_MIN
                at = text.rfind(spelling[-SECRET_MIN:], 0, at + SECRET_MIN - 1)
        text = self._marked("", text[end:], end > 0)
        if end == 0 and (word := _REST_OF_WORD.match(text)) is not None:
            text = text[word.end() :]
        return text

    def _marked(self, before: str, after: str, is_found: bool) -> str:
        self.count += is_found
        return f"{before}{MARK if is_found else ''}{after}"

    def _without_named(self, text: str) -> str:
        assert self._names is not None  # noqa: S101 - the caller looked
        kept: list[str] = []
        done = 0
        while (found := self._names.search(text, done)) is not None:
            end = _value_end(text, found.end())
            if text[found.end() : end].strip("\\\"'") == MARK:
                kept.append(text[done:end])
            else:
                kept += [text[done : found.end()], MARK]
                self.count += 1
            done = max(end, found.end())
        return "".join(kept) + text[done:]


def _spellings(secret: str) -> set[str]:
    """Return how *secret* may be spelled in an answer."""
    as_json = {json.dumps(secret, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False)}
    as_json |= {json.dumps(each, ensure_ascii=False)[1:-1] for each in as_json}  # JSON within a text of JSON
    as_json |= {each.replace("/", "\\/") for each in as_json}
    in_url = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    in_url |= {re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), each) for each in in_url}
    in_html = {html.escape(secret), html.escape(secret, quote=False), html.escape(secret).replace("&#x27;", "&#39;")}
    return {secret, *as_json, *in_url, *in_html}


def _names_pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Return what finds the place behind a name: the value begins there."""
    either = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    # Bounded, or a long run of backslashes would take time in proportion to its square.
    blank = r"(?:\s|\\{1,7}[nrt])*"
    in_json = rf"(?P<escapes>\\{{0,7}})(?P<quote>[\"'])(?:{either})(?P=escapes)(?P=quote){blank}:{blank}"
    in_form = rf"(?<![A-Za-z0-9_\-])(?:{either})="
    return re.compile(f"{in_json}|{in_form}", re.IGNORECASE)


def _value_end(text: str, start: int) -> int:
    """Return where the value that begins at *start* ends: a text, an object or list, or a word."""
    opening = re.compile(r"\\*[\"']").match(text, start)
    if opening is not None:
        return _text_end(text, opening.end(), len(opening[0]) - 1)
    if not text.startswith(("{", "["), start):
        word = _BARE.match(text, start)
        return start if word is None else word.end()
    depth, at = 0, start
    while (found := _BRACKETS.search(text, at)) is not None:
        at = found.end()
        if found[0] in "\"'":
            at = _text_end(text, at, _escapes_before(text, found.start(), start))
        else:
            depth += 1 if found[0] in "{[" else -1
            if depth == 0:
                return at
    return len(text)


def _text_end(text: str, start: int, escapes: int) -> int:
    """Return where a text ends that begins at *start*, behind a quote with so many backslashes before it."""
    quote_mark, at = text[start - 1], start
    while (found := _QUOTE.search(text, at)) is not None:
        at = found.end()
        if found[0] == quote_mark and _ends_text(_escapes_before(text, found.start(), start), escapes):
            return at
    return len(text)


def _escapes_before(text: str, at: int, start: int) -> int:
    count = 0
    while at - count > start and text[at - count - 1] == "\\":
        count += 1
    return count


def _ends_text(run: int, escapes: int) -> bool:
    """Say whether a quote behind *run* backslashes ends a text whose first quote stood behind *escapes* of them."""
    while escapes:
        if run % 2 == 0:
            return True  # the text around it ends
        run, escapes = (run - 1) // 2, (escapes - 1) // 2
    return run % 2 == 0
