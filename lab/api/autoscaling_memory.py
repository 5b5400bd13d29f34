# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab remembers of an Auto Scaling group beside what moto does: its activities and what is under way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

MAX_ACTIVITIES = 1000


def stamp() -> str:
    """The current time as Auto Scaling writes it into a cause."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Activity:
    """A scaling activity; ``cause`` is worded as AWS words it."""

    group_name: str
    description: str
    cause: str
    zone: str = ""
    subnet_id: str = ""
    status_code: str = "InProgress"
    status_message: str | None = None
    progress: int = 30
    activity_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    start_time: datetime = field(default_factory=lambda: datetime.now(UTC))
    end_time: datetime | None = None

    def finish(self, status_code: str = "Successful", message: str | None = None) -> None:
        """Close the activity; a closed one stays as it is."""
        if self.end_time is None:
            self.status_code, self.status_message, self.progress = status_code, message, 100
            self.end_time = datetime.now(UTC)

    def as_dict(self) -> dict[str, Any]:
        """The activity under the API's names."""
        details = f'{{"Subnet ID":"{self.subnet_id}","Availability Zone":"{self.zone}"}}'
        answer = {
            "ActivityId": self.activity_id,
            "AutoScalingGroupName": self.group_name,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": self.start_time,
            "StatusCode": self.status_code,
            "Progress": self.progress,
            "Details": details,
        }
        if self.end_time is not None:
            answer["EndTime"] = self.end_time
        if self.status_message is not None:
            answer["StatusMessage"] = self.status_message
        return answer


@dataclass
class GroupMemory:
    """One group's history and open ends."""

    activities: list[Activity] = field(default_factory=list)
    deleting: bool = False
    capacity_cause: str = ""
    vacancies: list[str] = field(default_factory=list)
    failures: int = 0
    retry_at: float = 0.0

    def add(self, activity: Activity) -> Activity:
        """Remember the activity, newest last."""
        self.activities.append(activity)
        del self.activities[:-MAX_ACTIVITIES]
        return activity


def memory_of(group: Any) -> GroupMemory:
    """The group's memory, made on first use."""
    if not hasattr(group, "lab_memory"):
        group.lab_memory = GroupMemory()
    memory: GroupMemory = group.lab_memory
    return memory


def suspended(group: Any, process: str) -> bool:
    """Whether the group's ``process`` is suspended."""
    return any(p["ProcessName"] == process for p in group.suspended_processes)
