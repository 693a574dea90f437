"""
Request fields: the tables of what each request of the API may carry. Pure. Those of schedules are in schedules/fields.py.

To add a field to a job, add a row to `JOB` (to `CALL`, if schedules have it as well) and use its value in `requests.py`. The
OpenAPI schema, the error code and docs/api.md (`make docs`) follow from the row.

Null is taken where `GET` may show null (headers, body, idempotency_key, webhook_url, webhook_headers); elsewhere it is refused.
A `GET` or `HEAD` job with a body is refused: proxies drop or reject such bodies, so Fliq could not keep the promise.
"""

from typing import Any, Final

from libs.egress.url_rules import URL_LIMIT
from services.api.contract import header_rules
from services.api.contract.api_error import refuse
from services.api.contract.field import Field, Fields, Rules, Schema, integer, url
from services.api.contract.fields.capture_fields import capture_fields
from services.api.contract.fields.delay_fields import delay_field, expiry_fields
from services.api.contract.fields.key_fields import KEY_MAX, key_fields
from services.api.contract.fields.label_fields import labels_field
from services.api.contract.fields.retry_fields import WEBHOOK_MAXIMA, retry_field, success_field
from services.api.contract.instants import parse_instant, ten_years_after, why_no_instant
from services.api.contract.token_text import ALL_SCOPES, SCOPES

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
BODILESS: Final = frozenset({"GET", "HEAD"})
BODY_MAX: Final = 262_144  # bytes of UTF-8
BATCH_MAX: Final = 1000
NAME_MAX: Final = 100  # characters of a token's name

_METHODS: Final = frozenset(METHODS)
INSTANT: Final[Schema] = {"type": "string", "format": "date-time"}
_SCOPES_RULE: Final = "scopes must be a list of one or more of " + ", ".join(f"`{name}`" for name in SCOPES)


def check_key(key: Any) -> str:
    """
    Return *key* if it is an idempotency key.

    Raises:
        ApiError: 400 `invalid_idempotency_key`.
    """
    if type(key) is not str or not 1 <= len(key) <= KEY_MAX or not key.isprintable():
        refuse("invalid_idempotency_key", f"idempotency_key must be 1 to {KEY_MAX} printable characters")
    return key


def instant_of(value: Any) -> int | None:
    """Return the ms since 1970 of a text in RFC 3339; None for anything else."""
    return parse_instant(value) if type(value) is str else None


def _read_method(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    method: str = value if type(value) is str else ""
    if method not in _METHODS:
        method = method.upper() if len(method) <= 7 and method.isascii() else ""
        if method not in _METHODS:
            refuse("invalid_http_method", f"http_method must be one of {', '.join(METHODS)}")
    return method


def read_body(value: Any, found: dict[str, Any], _rules: Rules) -> str:
    """Return *value* if it is a body that the method in *found* can carry."""
    if type(value) is not str:
        refuse("invalid_body", r'body must be a string: JSON is sent as text, such as "{\"amount\": 100}"')
    if found["http_method"] in BODILESS:
        refuse("invalid_body", f"a {found['http_method']} job cannot have a body")
    # ASCII and short texts need no encoding to be measured: a character has at most four bytes.
    if len(value) * (1 if value.isascii() else 4) > BODY_MAX and len(value.encode()) > BODY_MAX:
        refuse("invalid_body", f"body must be at most {BODY_MAX:,} bytes of UTF-8")
    return value


def _read_fire_at(value: Any, _found: dict[str, Any], _rules: Rules) -> int:
    at = instant_of(value)
    if at is None:
        refuse("invalid_scheduled_at", f"scheduled_at {why_no_instant(value)}")
    return at


def _read_key(value: Any, _found: dict[str, Any], rules: Rules) -> str:
    if rules.key_header is not None and value != rules.key_header:
        refuse("invalid_idempotency_key", "idempotency_key and the Idempotency-Key header name two different keys")
    return check_key(value)


def _read_name(value: Any, _found: dict[str, Any], _rules: Rules) -> str:
    if type(value) is not str or not 1 <= len(value) <= NAME_MAX or not value.isprintable():
        refuse("invalid_name", f"name must be 1 to {NAME_MAX} printable characters")
    return value


def _read_scopes(value: Any, _found: dict[str, Any], _rules: Rules) -> list[str]:
    if type(value) is not list or not value or any(scope not in [*SCOPES] for scope in value):
        refuse("invalid_scopes", _SCOPES_RULE)
    return value


def _read_expires_at(value: Any, _found: dict[str, Any], rules: Rules) -> int:
    at = instant_of(value)
    if at is None or at <= rules.now or at > ten_years_after(rules.now):
        refuse("invalid_expires_at", "expires_at must be RFC 3339, in the future and within ten years")
    return at


def _read_jobs(value: Any, _found: dict[str, Any], _rules: Rules) -> list[Any]:
    if type(value) is not list or not 1 <= len(value) <= BATCH_MAX:
        refuse("invalid_jobs", f"jobs must be a list of 1 to {BATCH_MAX:,} job requests")
    return value


CALL: Final = (
    url(
        "url",
        characters_max=URL_LIMIT,
        rule=f"absolute `http` or `https` URL of at most {URL_LIMIT:,} characters, without user info or fragment; its host must be"
        " public, unless the operator allows others (`FLIQ_EGRESS_ALLOW`); judged again when it is called; stored normalised",
    ),
    Field(
        name="http_method",
        read=_read_method,
        schema={"type": "string", "enum": sorted(METHODS)},
        rule=f"{' '.join(f'`{method}`' for method in METHODS)}, in any letter case",
        code="invalid_http_method",
        means="http_method is not one of the seven methods.",
        default="POST",
    ),
    header_rules.field(
        "headers",
        rule=f"object of strings: at most {header_rules.HEADERS_MAX}, names to {header_rules.NAME_MAX} bytes, values to"
        f" {header_rules.VALUE_MAX:,}, {header_rules.TOTAL_MAX:,} in all, printable ASCII;"
        " `X-Fliq-*`, `webhook-*` and those of the connection are [reserved](#what-a-target-receives)",
    ),
    Field(
        name="body",
        read=read_body,
        schema={"type": "string"},
        rule=f"string, sent as UTF-8, at most {BODY_MAX // 1024} KiB; not with `GET` and `HEAD`",
        code="invalid_body",
        means=f"body is not text that the job's method can carry, of at most {BODY_MAX // 1024} KiB.",
        default=None,
        takes_null=True,
    ),
    integer("timeout_seconds", 1, 3600, default=30, rule=", for one attempt in all"),
    url(
        "webhook_url",
        default=None,
        characters_max=URL_LIMIT,
        rule="as `url`; called once when the job ends, see [webhooks](#webhooks)",
    ),
    header_rules.field("webhook_headers", rule="as `headers`"),
    retry_field(
        "webhook_retry",
        WEBHOOK_MAXIMA,
        rule="object like `retry`, of at most 20 retries in 7 days: a webhook that fails is sent again, see"
        " [webhooks](webhooks.md)",
    ),
    *capture_fields(),
)
MAX_RETRIES: Final = integer(
    "max_retries", 0, 20, default=0, rule="; a job has at most `max_retries + 1` attempts, see [retries](#retries)"
)
# Of jobs, and of schedules, whose jobs inherit them.
RETRY_ROWS: Final = (
    retry_field(
        rule="object that says when and how often a failed attempt is tried again, see [retry policy](retries.md)"
    ),
    success_field(),
)
LABELS: Final = labels_field()
_KEY: Final = Field(
    name="idempotency_key",
    read=_read_key,
    schema={"type": "string", "minLength": 1, "maxLength": KEY_MAX},
    rule=f"1–{KEY_MAX} printable characters, see [idempotency](#idempotency)",
    code="invalid_idempotency_key",
    means=f"The key is not 1 to {KEY_MAX} printable characters, or body and header name two.",
    default=None,
    takes_null=True,
)
JOB: Final = Fields(
    *CALL,
    Field(
        name="scheduled_at",
        read=_read_fire_at,
        schema=INSTANT,
        rule="an instant in the future, up to the end of the year 9999; finer than a millisecond it is rounded up;"
        " or give `delay_seconds`",
        code="invalid_scheduled_at",
        means="scheduled_at is not an instant between now and the end of the year 9999, or delay_seconds is given, too.",
        default=None,
    ),
    delay_field(),
    _KEY,
    MAX_RETRIES,
    *RETRY_ROWS,
    *expiry_fields(),
    *key_fields(),
    LABELS,
    one_of=("scheduled_at", "delay_seconds"),
)
TOKEN: Final = Fields(
    Field(
        name="name",
        read=_read_name,
        schema={"type": "string", "minLength": 1, "maxLength": NAME_MAX},
        rule=f"1–{NAME_MAX} printable characters",
        code="invalid_name",
        means=f"name is not 1 to {NAME_MAX} printable characters.",
        default="API token",
    ),
    Field(
        name="scopes",
        read=_read_scopes,
        schema={"type": "array", "minItems": 1, "items": {"type": "string", "enum": list(SCOPES)}},
        rule="some of the scopes; a token cannot give what it lacks",
        code="invalid_scopes",
        means="scopes is not a list of one or more scopes.",
        default=list(ALL_SCOPES),
    ),
    Field(
        name="expires_at",
        read=_read_expires_at,
        schema=INSTANT,
        rule="an instant in the future, at most ten years ahead, not after the end of the token that asks, which is the default",
        code="invalid_expires_at",
        means=expiry_fields()[0].means,
        default=None,
        takes_null=True,
    ),
)
BATCH: Final = Fields(
    Field(
        name="jobs",
        read=_read_jobs,
        schema={"type": "array", "minItems": 1, "maxItems": BATCH_MAX, "items": {}},
        rule=f"1 to {BATCH_MAX:,} job requests, each accepted or refused on its own",
        code="invalid_jobs",
        means=f"jobs is not a list of 1 to {BATCH_MAX:,} job requests.",
    )
)
NOTHING: Final = Fields()
