#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pack an installed Ansible collection for machines without a network."""

from __future__ import annotations

DOCUMENTATION = r"""
module: collection_archive
short_description: Pack an installed Ansible collection for nodes that reach no registry
version_added: 0.1.0
description:
  - Packs an installed collection, without its tests and documentation, into a gzipped tar that unpacks below
    C(ansible_collections/).
  - The archive's bytes depend on the collection's files alone, so a second run changes nothing.
author:
  - Holdfast contributors
extends_documentation_fragment:
  - holdfast.kafka.attributes
options:
  name:
    description: The collection, as C(namespace.name).
    type: str
    required: true
  search_paths:
    description:
      - Directories to look in, in this order, before those that the module's Python interpreter imports from.
      - Each may be an C(ansible_collections) directory or the one above it.
    type: list
    elements: path
    default: []
  directory:
    description: Where to write C(<namespace>-<name>-<version>.tar.gz). It must exist.
    type: path
    required: true
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
"""

EXAMPLES = r"""
- name: Pack what a boot uses
  holdfast.kafka.collection_archive:
    name: amazon.aws
    directory: /srv/artifacts/collections
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""

RETURN = r"""
path:
  description: The archive.
  returned: success
  type: str
  sample: /srv/artifacts/collections/amazon-aws-10.1.2.tar.gz
version:
  description: The collection's version.
  returned: success
  type: str
  sample: 10.1.2
sha512:
  description: The archive's SHA-512.
  returned: success
  type: str
reason:
  description: Why it failed.
  returned: failure
  type: str
  sample: not_found
"""

import hashlib
import re
import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.kafka.plugins.module_utils import collection_packing


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "search_paths": {"type": "list", "elements": "path", "default": []},
            "directory": {"type": "path", "required": True},
        },
        supports_check_mode=True,
    )
    name = module.params["name"]
    if not re.fullmatch(r"[a-z0-9_]+\.[a-z0-9_]+", name):
        module.fail_json(msg=f"name must be namespace.name, not {name!r}", reason="bad_parameter")
    target = Path(module.params["directory"])
    if not target.is_dir() and not module.check_mode:
        module.fail_json(msg=f"directory {target} does not exist", reason="bad_parameter")
    try:
        source = collection_packing.find(name, [*module.params["search_paths"], *sys.path])
    except collection_packing.CollectionNotFoundError as error:
        module.fail_json(msg=str(error), reason="not_found")
    version = collection_packing.version(source)
    content = collection_packing.pack(source)
    path = target / f"{name.replace('.', '-')}-{version}.tar.gz"
    changed = not path.is_file() or path.read_bytes() != content
    if changed and not module.check_mode:
        partial = path.with_name(f".{path.name}.partial")
        partial.write_bytes(content)
        module.atomic_move(str(partial), str(path))
    module.exit_json(changed=changed, path=str(path), version=version, sha512=hashlib.sha512(content).hexdigest())


if __name__ == "__main__":
    main()
