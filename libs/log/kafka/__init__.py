from libs.log.kafka.access import KafkaAccess
from libs.log.kafka.adapter import KafkaLog

__all__ = ["KafkaAccess", "KafkaLog"]
