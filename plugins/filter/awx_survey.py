# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``awx_survey``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: awx_survey
short_description: Write a survey as AWX wants it
version_added: 0.2.0
author: Holdfast contributors
description:
  - Turns the questions of C(awx/templates.yml) into the C(survey_spec) of a job template.
positional: title
options:
  _input:
    description: The questions.
    type: list
    elements: dict
    required: true
  title:
    description: What the survey is for.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show a survey
  ansible.builtin.debug:
    msg: "{{ [{'variable': 'x', 'question': 'How many?', 'type': 'integer'}] | holdfast.kafka.awx_survey('Restart') }}"
"""

RETURN = r"""
_value:
  description: The C(survey_spec), empty without questions.
  type: dict
"""

TYPES = ("text", "integer", "multiplechoice")
LONGEST_ANSWER = 1024


def survey(questions: Sequence[Mapping[str, Any]], title: str) -> dict[str, Any]:
    """Return the survey; AnsibleFilterError for a type that AWX does not have."""
    if not questions:
        return {}
    return {"name": "", "description": title, "spec": [_question(one) for one in questions]}


def _question(one: Mapping[str, Any]) -> dict[str, Any]:
    if one["type"] not in TYPES:
        raise AnsibleFilterError(
            f"{one['variable']} has the type {one['type']!r}; it must be one of {', '.join(TYPES)}."
        )
    limits = (0, LONGEST_ANSWER) if one["type"] == "text" else (one.get("min"), one.get("max"))
    return {
        "variable": one["variable"],
        "question_name": one["question"],
        "question_description": "",
        "type": one["type"],
        "required": bool(one.get("required", False)),
        "default": one.get("default", ""),
        "choices": [str(choice) for choice in one.get("choices", [])],
        "min": limits[0],
        "max": limits[1],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"awx_survey": survey}
