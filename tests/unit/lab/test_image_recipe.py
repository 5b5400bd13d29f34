# Copyright: Holdfast contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The base image's key, its command, and the images that are kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from lab import kept
from lab.config import LabConfig
from lab.images import build
from lab.images.recipe import FILES, Recipe
from lab.machine.images import PERSONAL, ImageStore, strip
from lab.machine.shell import MachineError


def test_the_key_follows_the_content_and_not_the_order():
    recipe = Recipe()
    assert recipe.key() == Recipe(packages=tuple(reversed(recipe.packages))).key()
    assert recipe.key() != dataclasses.replace(recipe, packages=(*recipe.packages, "vim")).key()
    assert recipe.key() != dataclasses.replace(recipe, placed=recipe.placed[1:]).key()
    assert all((FILES / name).is_file() for name, _ in recipe.placed)


def test_no_mirror_is_named_unless_one_is_given():
    assert Recipe().mmdebstrap(Path("/t"))[-2:] == ["bookworm", "/t"]
    assert Recipe().mmdebstrap(Path("/t"), "file:///mirror")[-1] == "file:///mirror"


def test_a_built_image_is_found_listed_and_removed(tmp_path):
    recipe = Recipe()
    assert build.find(tmp_path, recipe) is None
    place = tmp_path / f"base-{recipe.key()}"
    (place / "tree").mkdir(parents=True)
    facts = {"key": recipe.key(), "built_at": "2026-01-01T00:00:00Z", "build_seconds": 50.0}
    (place / "image.json").write_text(json.dumps(facts))
    (tmp_path / f"base-{recipe.key()}.log").write_text("what mmdebstrap said")
    found = build.ensure(tmp_path, recipe, print)
    assert found.tree == place / "tree"
    assert found.image_id == f"ami-0{recipe.key()}", "the same in every lab, and as long as EC2's ids"
    assert len(found.image_id) == len("ami-") + 17
    assert build.listing(tmp_path) == [found]
    assert build.remove(tmp_path, recipe.key())
    assert not build.remove(tmp_path, recipe.key())
    assert build.listing(tmp_path) == []


def test_a_failing_build_names_its_log_and_leaves_no_image(tmp_path, monkeypatch):
    command = ["sh", "-c", "echo E: no such suite; exit 25"]
    monkeypatch.setattr(Recipe, "mmdebstrap", lambda *_: command)
    with pytest.raises(build.ImageBuildError, match=r"status 25 \(E: no such suite\); all of it is in "):
        build.ensure(tmp_path, Recipe(), print)
    assert build.find(tmp_path, Recipe()) is None


@pytest.mark.parametrize("key", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_a_kept_images_key_is_no_path(key):
    with pytest.raises(MachineError, match="1 to 64"):
        kept.directory(LabConfig(), "base", key)


def test_strip_removes_the_machines_own_and_keeps_the_rest(tmp_path):
    for place in ("etc/ssh", "var/log/journal/x", "var/lib/cloud/instance", "root/.ssh", "var/tmp"):
        (tmp_path / place).mkdir(parents=True)
    for place in ("etc/ssh/ssh_host_rsa_key", "etc/ssh/sshd_config", "var/log/syslog", "var/log/journal/x/y", "etc/a"):
        (tmp_path / place).write_text("x")
    (tmp_path / "etc/machine-id").write_text("abc")
    strip(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["etc/a", "etc/machine-id", "etc/ssh/sshd_config"]
    assert (tmp_path / "etc/machine-id").read_text() == ""
    assert list((tmp_path / "var/log/journal").iterdir()) == []
    assert "var/lib/cloud/*" in PERSONAL


def test_layers_stay_while_something_stands_on_them(tmp_path):
    store = ImageStore(tmp_path, None)  # type: ignore[arg-type]  # it is not asked
    layer = tmp_path / "ami-0child/layer"
    layer.mkdir(parents=True)
    (layer.parent / "image.json").write_text("[]")
    store.register("ami-0child", [layer, Path("/base")])
    assert store.use("ami-0child", "i-1") == (layer, Path("/base"))
    store.delete("ami-0child")
    assert layer.is_dir()
    with pytest.raises(MachineError, match="has no tree"):
        store.use("ami-0child", "i-2")
    store.drop("i-1")
    assert not layer.exists()
    with pytest.raises(MachineError, match="not an image id"):
        store.register("ami-../../x", [])
