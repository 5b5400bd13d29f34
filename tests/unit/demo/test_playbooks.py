# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a playbook's recap."""

from __future__ import annotations

import pytest

from lab.demo.playbooks import changed

OUTPUT = """
TASK [x] ***
changed: [localhost] => changed=99
PLAY RECAP *********************************************************************
demo-kafka-1               : ok=7    changed=2    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
localhost                  : ok=30   changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
"""


def test_changed_by_host() -> None:
    assert changed(OUTPUT) == {"demo-kafka-1": 2, "localhost": 0}


def test_no_recap_proves_nothing() -> None:
    with pytest.raises(ValueError, match="no recap"):
        changed("ERROR! the playbook could not be found")
