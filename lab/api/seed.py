# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fresh lab account contains: one VPC, a subnet per zone, a base image, a key pair, an administrator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lab.api.context import LabContext
from lab.api.strict_images import make_bootable

ADMIN_USER = "lab-admin"
_ADMIN_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
# a public key nobody has the private half of: a lab without its own key pair still has one to name
_PLACEHOLDER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl lab-placeholder"


@dataclass(frozen=True)
class SubnetSeed:
    """A subnet as clients of the lab are told about it."""

    availability_zone: str
    cidr: str
    subnet_id: str = ""


@dataclass(frozen=True)
class SeedPlan:
    """What to create. ``public_key`` is an OpenSSH public key line; None takes a placeholder."""

    vpc_cidr: str = "10.77.0.0/16"
    subnets: tuple[SubnetSeed, ...] = (
        SubnetSeed("eu-central-1a", "10.77.1.0/24"),
        SubnetSeed("eu-central-1b", "10.77.2.0/24"),
        SubnetSeed("eu-central-1c", "10.77.3.0/24"),
    )
    image_name: str = "debian-12-lab"
    image_id: str | None = None
    image_tags: dict[str, str] = field(default_factory=lambda: {"holdfast:image": "base"})
    key_name: str = "lab"
    public_key: str | None = None


@dataclass(frozen=True)
class Seed:
    """The ids of what was created."""

    vpc_id: str
    security_group_id: str
    subnets: tuple[SubnetSeed, ...]
    image_id: str
    key_name: str
    access_key_id: str
    secret_access_key: str

    def subnet_in(self, availability_zone: str) -> SubnetSeed:
        """The subnet of a zone; raise ``KeyError`` if there is none."""
        for subnet in self.subnets:
            if subnet.availability_zone == availability_zone:
                return subnet
        raise KeyError(availability_zone)


def plant(context: LabContext, plan: SeedPlan) -> Seed:
    """Empty the account's network and create the plan's; call with the lock held."""
    backend = context.ec2
    _remove_default_network(backend)
    vpc = backend.create_vpc(plan.vpc_cidr, tags=[{"Key": "Name", "Value": "lab"}])
    vpc.enable_dns_hostnames = vpc.enable_dns_support = True
    backend.default_vpc = vpc
    subnets = tuple(_subnet(backend, vpc, subnet) for subnet in plan.subnets)
    backend.import_key_pair(plan.key_name, (plan.public_key or _PLACEHOLDER_KEY).encode(), {})
    access_key = _administrator(context)
    return Seed(
        vpc_id=vpc.id,
        security_group_id=backend.get_default_security_group(vpc.id).id,
        subnets=subnets,
        image_id=_base_image(backend, plan),
        key_name=plan.key_name,
        access_key_id=access_key.access_key_id,
        secret_access_key=access_key.secret_access_key,
    )


def _remove_default_network(backend: Any) -> None:
    """moto brings a default VPC with subnets in every zone; the lab has no such thing."""
    for store in (backend.vpcs, backend.subnets, backend.route_tables, backend.network_acls, backend.groups):
        store.clear()


def _subnet(backend: Any, vpc: Any, wish: SubnetSeed) -> SubnetSeed:
    subnet = backend.create_subnet(vpc.id, wish.cidr, availability_zone=wish.availability_zone)
    subnet.default_for_az = subnet.map_public_ip_on_launch = False
    subnet.add_tag("Name", f"lab-{wish.availability_zone}")
    return SubnetSeed(wish.availability_zone, wish.cidr, subnet.id)


def _base_image(backend: Any, plan: SeedPlan) -> str:
    image = backend.register_image(plan.image_name, "Debian 12 as the lab boots it")
    if plan.image_id:
        backend.amis[plan.image_id] = backend.amis.pop(image.id)
        image.id = plan.image_id
    image.architecture = "x86_64"
    make_bootable(image)
    image.add_tags({"Name": plan.image_name, **plan.image_tags})
    return str(image.id)


def _administrator(context: LabContext) -> Any:
    from moto.iam.models import iam_backends

    backend = iam_backends[context.account_id]["aws"]
    backend.create_user(context.region, ADMIN_USER)
    backend.put_user_policy(ADMIN_USER, "administrator", json.dumps(_ADMIN_POLICY))
    return backend.create_access_key(ADMIN_USER)
