# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lookup ``inventory_faults``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from ansible.plugins.lookup import LookupBase
from ansible_collections.holdfast.kafka.plugins.module_utils import inventory_rules as rules

DOCUMENTATION = r"""
name: inventory_faults
short_description: Find what is wrong with the inventory of a play
version_added: 0.1.0
author: Holdfast contributors
description:
  - Looks at the variables that the host of the play sees.
  - Looks at all C(group_vars) and C(host_vars) files beside the inventory.
  - Names that begin with C(holdfast_) or with the name of a role must be options of a role.
  - Their values must be of the option's type, as far as they are neither templates nor encrypted.
  - Files that are wholly encrypted are left out; what they set is seen when the host of the play sees it.
options:
  environment:
    description: The value of C(holdfast_environment).
    type: str
    required: true
  cluster:
    description: The value of C(holdfast_cluster).
    type: str
    required: true
  git_url:
    description: The value of C(holdfast_git_url).
    type: str
    default: ""
  tags:
    description: The value of C(holdfast_tags).
    type: dict
    default: {}
  pools:
    description: The value of C(holdfast_pools).
    type: dict
    default: {}
  known:
    description: Names of your own that are known.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ query('holdfast.kafka.inventory_faults', environment=holdfast_environment, cluster=holdfast_cluster) }}"
"""

RETURN = r"""
_raw:
  description: A list of sentences; empty when nothing is wrong.
  type: list
  elements: str
"""

ROLES = Path(__file__).resolve().parents[2] / "roles"
EXTENSIONS = ("", ".yml", ".yaml", ".json")
_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fast):
    """YAML whose C(!vault) and C(!unsafe) values are of no interest, only their names."""


def _nothing(_loader: Any, _suffix: str, _node: Any) -> None:
    """The value of a tag that is Ansible's own."""


_Loader.add_multi_constructor("!", _nothing)


def read(path: Path) -> Any:
    """A YAML file's content; None for a file that is encrypted as a whole."""
    text = path.read_text(encoding="utf-8")
    return None if text.startswith("$ANSIBLE_VAULT") else yaml.load(text, Loader=_Loader)  # noqa: S506 - safe loader


def files(directory: Path) -> Iterator[Path]:
    """The files of C(group_vars) and C(host_vars), as Ansible chooses them."""
    for kind in ("group_vars", "host_vars"):
        for path in sorted((directory / kind).rglob("*")):
            if path.is_file() and path.suffix in EXTENSIONS and not path.name.startswith(".") and path.name[-1] != "~":
                yield path


def faults(seen: dict[str, Any], environment: str, cluster: str, known: Iterable[str] = ()) -> list[str]:
    """Return the faults of the variables that a host sees and of its inventory's files."""
    specifications = {path.parents[1].name: read(path) for path in sorted(ROLES.glob("*/meta/argument_specs.yml"))}
    roles = {role: rules.option_names(specification) for role, specification in specifications.items()}
    options = rules.options_by_name(specifications.values())
    place = seen.get("inventory_dir")
    found = rules.unknown_names(seen, roles, known) + rules.port_faults(seen.items())
    found += rules.type_faults(seen.items(), options)
    found += rules.environment_faults(place, environment)
    if not place:
        return found
    directory = Path(place)
    for path in files(directory):
        content = read(path)
        if isinstance(content, dict):
            values = [(str(name), value) for name, value in content.items()]
            here = rules.unknown_names(dict(values), roles, known) + rules.port_faults(values)
            here += rules.type_faults(values, options)
            found += [f"{path.relative_to(directory)}: {fault}" for fault in here if fault not in found]
    for path in sorted(p for p in directory.glob("*aws_ec2.y*ml") if p.suffix in EXTENSIONS):
        found += rules.filter_faults(path.name, read(path), cluster)
    return found


class LookupModule(LookupBase):
    """Ansible's entry point."""

    def run(self, terms: list[str], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:  # noqa: ARG002 - LookupBase's signature
        """Return all faults of the inventory."""
        self.set_options(var_options=variables, direct=kwargs)
        found = faults(
            dict(variables or {}), self.get_option("environment"), self.get_option("cluster"), self.get_option("known")
        )
        found += rules.git_url_faults(self.get_option("git_url")) + rules.tag_faults(self.get_option("tags"))
        return found + rules.address_faults(self.get_option("pools"))
