"""
Bodiless spec: a stored spec without the body of the job, cut by the database, so that a body of 256 KiB is not sent and decoded.

Raw quotes stand in JSON only around its own names and texts, and msgspec writes the fields in the order of `Spec`: up to `body`,
then from `webhook_url` on. The body of a sealed spec comes last of all. The innermost SELECT decompresses a spec once.
"""

from typing import Final

LARGE_SPEC: Final = 2048  # bytes; a shorter spec is sent whole

# An expression over the column `spec`.
BODILESS_SPEC: Final = f"""CASE WHEN octet_length(spec) <= {LARGE_SPEC} THEN spec ELSE (
    SELECT CASE WHEN body = 0 THEN whole
        WHEN position(',"sealed":{{'::bytea IN whole) > 0 THEN substring(whole FROM 1 FOR body - 1) || '}}}}'
        ELSE substring(whole FROM 1 FOR body - 1) || CASE WHEN hook = 0 THEN '}}' ELSE substring(whole FROM hook) END END
    FROM (
        SELECT whole, position(',"body":"'::bytea IN whole) AS body, position(',"webhook_url":"'::bytea IN whole) AS hook
        FROM (SELECT spec || ''::bytea AS whole OFFSET 0) AS plain OFFSET 0
    ) AS found
) END"""  # noqa: S608 - our own names
