"""
Identity: a text that no other log has. A topic that was deleted and made again under the same name has another identity.

aiokafka asks for metadata in version 5, which has no topic ids. This is version 10 of that request, as far as it is needed.
"""

import uuid
from io import BytesIO
from typing import Any

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from libs.log.kafka.connection import Connection, NotNow, check

_NO_TOPIC_ID = b"\0" * 16


async def identity(connection: Connection) -> str:
    """
    Return `kafka <cluster id>/<topic id>`.

    Raises:
        LogUnavailable: the brokers did not say in time.
    """

    async def ask() -> str:
        answer = await connection.send_to_any(_MetadataWithIds(connection.topic))
        for code, name, topic_id, *_ in answer.topics:
            if name == connection.topic:
                check(code, f"topic {name}")
                return f"kafka {answer.cluster_id}/{uuid.UUID(bytes=topic_id)}"
        raise NotNow(f"no topic {connection.topic}")

    return await connection.retry(ask)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka counts as untyped
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _MetadataResponse10(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequest10(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataWithIds(Request[_MetadataRequest10]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_MetadataRequest10]) -> Any:
        # This request must not create the topic: `topic.ensure` does that, with the right settings.
        return request_struct_class([(_NO_TOPIC_ID, self._topic, {})], False, False, False, {})
