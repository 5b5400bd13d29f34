# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""RunInstances as EC2 does it: checked before anything is made, all of the launch template, one root device."""

from __future__ import annotations

import copy
from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend

from lab.api.context import LabContext
from lab.api.errors import interface_in_use, invalid_value, refuse
from lab.api.faults_unseen import maybe_hide
from lab.api.lifecycle import begin_boot, set_state
from lab.api.patching import PatchSet
from lab.api.strict_eni import bind
from lab.api.strict_volumes import bookkeeping_only, set_attachment_status

PATCHES = PatchSet()

ROOT_SIZE_GIB = 8


def merge_template(data: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the launch's arguments with what the template says and the call does not; pure."""
    merged = dict(kwargs)
    if not merged.get("nics") and not merged.get("subnet_id") and data.get("NetworkInterfaces"):
        merged["nics"] = copy.deepcopy(data["NetworkInterfaces"])
    if merged.get("nics") and merged.get("subnet_id"):
        # an Auto Scaling group names the subnet and its template the interfaces: the subnet goes to the primary one
        merged["nics"] = [
            {**nic, "SubnetId": merged["subnet_id"]} if int(nic.get("DeviceIndex", 0)) == 0 else nic
            for nic in merged["nics"]
        ]
    if not merged.get("block_device_mappings") and data.get("BlockDeviceMappings"):
        merged["block_device_mappings"] = copy.deepcopy(data["BlockDeviceMappings"])
    if not merged.get("metadata_options") and data.get("MetadataOptions"):
        merged["metadata_options"] = data["MetadataOptions"]
    profile = data.get("IamInstanceProfile") or {}
    if not merged.get("iam_instance_profile_name") and not merged.get("iam_instance_profile_arn"):
        merged["lab_template_profile"] = profile
    tags = {kind: dict(values) for kind, values in (merged.get("tags") or {}).items()}
    for specification in data.get("TagSpecifications") or []:
        own = tags.setdefault(specification.get("ResourceType", ""), {})
        for tag in specification.get("Tags") or []:
            own.setdefault(tag["Key"], tag.get("Value", ""))
    merged["tags"] = tags
    return merged


def block_devices(mappings: list[dict[str, Any]] | None, root_device: str) -> list[dict[str, Any]]:
    """Return the launch's devices with exactly one root device, first; pure."""
    devices: dict[str, dict[str, Any]] = {root_device: {"VolumeSize": ROOT_SIZE_GIB, "DeleteOnTermination": True}}
    removed = set()
    for mapping in mappings or []:
        name = mapping["DeviceName"]
        if mapping.get("NoDevice") == "":
            removed.add(name)
            continue
        ebs = {key: value for key, value in (mapping.get("Ebs") or {}).items() if value is not None}
        ebs |= {key: flag(ebs[key]) for key in ("DeleteOnTermination", "Encrypted") if key in ebs}
        devices[name] = {**devices.get(name, {}), **ebs}
    return [
        {"DeviceName": name, "Ebs": {"VolumeType": "gp3", **ebs}}
        for name, ebs in devices.items()
        if name == root_device or name not in removed
    ]


def flag(value: Any) -> bool | None:
    """A boolean as templates write it (``true``, ``"true"``); None stays None."""
    return None if value is None else str(value).lower() == "true"


def _check_launch(backend: Any, image_id: str | None, kwargs: dict[str, Any]) -> Any:
    image = backend.amis.get(image_id)
    if image is None:
        raise refuse("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if image.state != "available":
        raise refuse("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available (it is {image.state})")
    if kwargs.get("instance_type") not in INSTANCE_TYPES:
        raise invalid_value(f"Invalid value '{kwargs.get('instance_type')}' for InstanceType.")
    key_name = kwargs.get("key_name")
    if key_name and key_name not in backend.key_pairs:
        raise refuse("InvalidKeyPair.NotFound", f"The key pair '{key_name}' does not exist")
    return image


def _check_nics(backend: Any, nics: list[dict[str, Any]]) -> None:
    indexes = [int(nic.get("DeviceIndex", -1)) for nic in nics]
    if len(set(indexes)) != len(indexes):
        raise invalid_value("Each network interface requires a unique device index.")
    if nics and 0 not in indexes:
        raise invalid_value("A network interface with device index 0 is required.")
    given = [backend.get_network_interface(nic["NetworkInterfaceId"]) for nic in nics if nic.get("NetworkInterfaceId")]
    for eni in given:
        if eni.attachment_id or given.count(eni) > 1:
            raise interface_in_use(eni.id)
    zones = {eni.availability_zone for eni in given}
    zones |= {backend.get_subnet(nic["SubnetId"]).availability_zone for nic in nics if nic.get("SubnetId")}
    if len(zones) > 1:
        raise refuse("InvalidParameterCombination", "All network interfaces must be in the same availability zone")


def _resolve(backend: Any, image_id: str | None, kwargs: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Image and arguments with the template applied."""
    data: dict[str, Any] = {}
    if kwargs.get("launch_template"):
        data = backend._get_template_from_args(kwargs["launch_template"]).data
        image_id = image_id or data.get("ImageId")
        if kwargs.get("is_instance_type_default") and data.get("InstanceType"):
            kwargs = {**kwargs, "instance_type": data["InstanceType"], "is_instance_type_default": False}
        if not kwargs.get("key_name"):
            kwargs = {**kwargs, "key_name": data.get("KeyName")}
    return image_id, merge_template(data, kwargs)


@PATCHES.function(InstanceBackend, "run_instances")
def _run(
    context: LabContext,
    original: Any,
    self: Any,
    image_id: str | None,
    count: int,
    user_data: Any,
    security_group_names: list[str],
    **kwargs: Any,
) -> Any:
    with context.lock:
        image_id, launch = _resolve(self, image_id, kwargs)
        launch.setdefault("instance_type", "m1.small")
        launch.setdefault("is_instance_type_default", False)
        image = _check_launch(self, image_id, launch)
        _check_nics(self, launch.get("nics") or [])
        count = int(getattr(context.request, "max_count", None) or count)
        profile = launch.pop("lab_template_profile", {})
        launch["block_device_mappings"] = block_devices(launch.get("block_device_mappings"), image.root_device_name)
        before = (set(self.enis), set(self.volumes), set(self.reservations))
        try:
            reservation = original(self, image_id, count, user_data, security_group_names, **launch)
            for instance in reservation.instances:
                _associate(self, instance, launch, profile, first=instance is reservation.instances[0])
        except Exception:
            _undo(self, before)
            raise
        for instance in reservation.instances:
            for eni in instance.nics.values():
                if eni.id not in before[0]:
                    eni.add_tags(launch["tags"].get("network-interface", {}))
            set_state(context, instance, "pending")
            maybe_hide(context, instance)
            begin_boot(context, instance, first=True)
        return reservation


def _associate(
    backend: Any, instance: Any, launch: dict[str, Any], template_profile: dict[str, Any], first: bool
) -> None:
    """Give the instance its profile (for a call's own profile moto's response does so for the first instance)."""
    name = template_profile.get("Name") or (None if first else launch.get("iam_instance_profile_name"))
    arn = template_profile.get("Arn") or (None if first else launch.get("iam_instance_profile_arn"))
    if name or arn:
        backend.associate_iam_instance_profile(
            instance_id=instance.id, iam_instance_profile_name=name, iam_instance_profile_arn=arn
        )


def _undo(backend: Any, before: tuple[set[str], set[str], set[str]]) -> None:
    """A refused launch leaves nothing behind."""
    for reservation_id in set(backend.reservations) - before[2]:
        for instance in backend.reservations.pop(reservation_id).instances:
            for eni in list(instance.nics.values()):
                instance.detach_eni(eni)
                eni.attachment_status = None
    for eni_id in set(backend.enis) - before[0]:
        backend.enis.pop(eni_id)
    for eni in backend.enis.values():
        if eni.instance is not None and not any(eni.instance in r.instances for r in backend.reservations.values()):
            eni.instance.detach_eni(eni)
            eni.attachment_status = None
    for volume_id in set(backend.volumes) - before[1]:
        backend.volumes.pop(volume_id)


@PATCHES.function(Instance, "__init__")
def _instance(_context: LabContext, original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
    self.lab_online = False
    original(self, *args, **kwargs)


@PATCHES.function(Instance, "prep_nics")
def _prep_nics(
    _context: LabContext,
    _original: Any,
    self: Any,
    nic_spec: list[dict[str, Any]],
    private_ip: str | None = None,
    security_groups: list[Any] | None = None,
    **_public_or_ipv6: Any,
) -> None:
    """Attach what the launch asks for; the lab's VPC has no public addresses and no IPv6."""
    self.nics = {}
    backend = self.ec2_backend
    specs = sorted(nic_spec, key=lambda nic: int(nic["DeviceIndex"])) or [{"DeviceIndex": 0}]
    for spec in specs:
        index = int(spec["DeviceIndex"])
        keep = flag(spec.get("DeleteOnTermination"))
        if spec.get("NetworkInterfaceId"):
            eni = backend.get_network_interface(spec["NetworkInterfaceId"])
            # an interface that existed before outlives the instance unless the launch says otherwise
            delete_on_termination = keep is True
        else:
            subnet_id = spec.get("SubnetId") or self._subnet_id
            if not subnet_id:
                raise refuse("VPCIdNotSpecified", "No default VPC for this user")
            subnet = backend.get_subnet(subnet_id)
            groups = list(spec.get("Groups") or []) or [group.id for group in security_groups or []]
            wanted = spec.get("PrivateIpAddress") or (private_ip if index == 0 else None)
            listed = spec.get("PrivateIpAddresses") or []
            primary = next((item["PrivateIpAddress"] for item in listed if item.get("Primary") is True), None)
            eni = backend.create_network_interface(
                subnet,
                wanted or primary,
                listed,
                group_ids=groups,
                description=spec.get("Description") or ("Primary network interface" if index == 0 else None),
            )
            delete_on_termination = keep is not False and (index == 0 or keep is True)
        bind(eni, self, index, delete_on_termination)
        if index == 0:
            self._subnet_id = eni.subnet.id
            self._placement.zone = eni.subnet.availability_zone
            if spec.get("Groups") or spec.get("NetworkInterfaceId") or not self.security_groups:
                self.security_groups = list(eni._group_set)
    self.associate_public_ip = False


@PATCHES.function(Instance, "add_block_device")
def _add_block_device(
    context: LabContext, original: Any, self: Any, size: Any, device_path: str, *args: Any, **kwargs: Any
) -> None:
    with bookkeeping_only(context):
        original(self, int(size) if size else ROOT_SIZE_GIB, device_path, *args, **kwargs)
    volume = self.ec2_backend.volumes[self.block_device_mapping[device_path].volume_id]
    volume.lab_root = device_path == self.root_device_name
    set_attachment_status(volume, "attaching")
