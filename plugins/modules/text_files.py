#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: text_files
short_description: Write a set of small text files
version_added: 0.1.0
author:
  - Holdfast contributors
description:
  - Lets each file have its content, mode and owner, each file replaced at once, and says which of them were changed.
  - One module for a service's whole configuration, because a node's boot is on the clock and every
    M(ansible.builtin.template) starts two processes on the host.
  - The contents never reach the host's log. Differences are shown as for any other module, so a task with a secret in a
    file needs C(no_log).
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The file; a missing directory is made.
        type: path
        required: true
      mode:
        description: Its mode in octal digits.
        type: str
        default: "0644"
      owner:
        description: Its owner; unchanged if not given.
        type: str
      group:
        description: Its group; unchanged if not given.
        type: str
  contents:
    description: The files' texts by the last part of their paths.
    type: dict
    required: true
attributes:
  check_mode:
    description: Can run in check mode and return what it would without changing the target.
    support: full
  diff_mode:
    description: Shows each file that differs.
    support: full
"""

EXAMPLES = r"""
- name: Write the configuration
  holdfast.kafka.text_files:
    files:
      - path: /etc/kafka/server.properties
        group: kafka
        mode: "0640"
    contents:
      server.properties: "{{ lookup('ansible.builtin.template', 'server.properties.j2') }}"
  register: configuration
"""

RETURN = r"""
changed_files:
  description: Paths of the files that were changed, or would be.
  returned: success
  type: list
  elements: str
reason:
  description:
    - V(bad_parameter) (a mode that is none, a path that is not absolute, files and contents that do not match) or
      V(write_failed).
  returned: failure
  type: str
"""

import re
from pathlib import PurePosixPath
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import text_file


def fault(files: list[dict[str, Any]], contents: dict[str, Any]) -> str | None:
    """Why these files cannot be meant; None if they can."""
    names = [PurePosixPath(one["path"]).name for one in files]
    if sorted(names) != sorted(contents):
        told = f"files name {', '.join(sorted(names))} and contents {', '.join(sorted(contents))}"
        return f"{told}; each file needs one text"
    for one in files:
        if not one["path"].startswith("/"):
            return f"path '{one['path']}' must be absolute"
        if not re.fullmatch(r"[0-7]{3,4}", one["mode"]):
            return f"mode '{one['mode']}' of {one['path']} must be three or four octal digits"
    return None


def main() -> None:
    options = {
        "path": {"type": "path", "required": True},
        "mode": {"type": "str", "default": "0644"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "files": {"type": "list", "elements": "dict", "required": True, "options": options},
            # Not for the host's log: a configuration may carry a password.
            "contents": {"type": "dict", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    files: list[dict[str, Any]] = module.params["files"]
    contents: dict[str, Any] = module.params["contents"]
    wrong = fault(files, contents)
    if wrong:
        module.fail_json(msg=f"{wrong}. Nothing was written.", reason="bad_parameter")
    differences: dict[str, str] = {}
    for one in files:
        text = str(contents[PurePosixPath(one["path"]).name])
        wanted = text_file.TextFile(one["path"], text, int(one["mode"], 8), one["owner"], one["group"])
        try:
            difference = text_file.ensure(module, wanted)
        except OSError as error:
            module.fail_json(
                msg=f"{one['path']} cannot be written: {error}. Written before: {', '.join(differences) or 'nothing'}.",
                reason="write_failed",
            )
        if difference is not None:
            differences[one["path"]] = difference
    diff = {"diff": [{"prepared": text} for text in differences.values()]} if differences else {}
    module.exit_json(changed=bool(differences), changed_files=list(differences), **diff)


if __name__ == "__main__":
    main()
