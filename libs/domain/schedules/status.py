"""Schedule status: the words, what they mean, and which event leads from one to another. Pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ScheduleStatus(IntEnum):
    """The numbers are stored in the tables and never change."""

    ACTIVE = 0
    PAUSED = 1
    DELETED = 2


MEANINGS: Final[Mapping[ScheduleStatus, str]] = {
    ScheduleStatus.ACTIVE: "spawns a job at every tick",
    ScheduleStatus.PAUSED: "spawns nothing until it is resumed; makes up for ticks of the pause only if the resume says `catch_up`",
    ScheduleStatus.DELETED: "gone: the API answers 404; its jobs stay",
}

# (status, stored name of the event) -> statuses it may lead to. What is not here does not apply.
TRANSITIONS: Final[Mapping[tuple[ScheduleStatus, str], tuple[ScheduleStatus, ...]]] = {
    (ScheduleStatus.ACTIVE, "schedule.ticked"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.realigned"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.spawned"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.run_stopped"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.autopaused"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.ACTIVE, "schedule.changed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.paused"): (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE),
    (ScheduleStatus.ACTIVE, "schedule.resumed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "schedule.deleted"): (ScheduleStatus.DELETED,),
    (ScheduleStatus.ACTIVE, "job.scheduled"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "job.finished"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.ACTIVE, "job.cancelled"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.PAUSED, "job.scheduled"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.PAUSED, "job.finished"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.PAUSED, "job.cancelled"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.PAUSED, "schedule.changed"): (ScheduleStatus.PAUSED,),
    (ScheduleStatus.PAUSED, "schedule.paused"): (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE),
    (ScheduleStatus.PAUSED, "schedule.resumed"): (ScheduleStatus.ACTIVE,),
    (ScheduleStatus.PAUSED, "schedule.deleted"): (ScheduleStatus.DELETED,),
}
