"""A folder as a source: real files, written as editors and tools write them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.live.batch import Batch
from enforcer.sources.folder import Folder, Patience

QUICK = Patience(settled=0.02, missing=0.15, look=0.5, open=0.4)
WITHIN = 5.0

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: {name}}}}}
spec: {{nodeName: node-a}}
status: {{phase: Running, podIPs: [{{ip: {ip}}}]}}
---
"""
POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: {name}, namespace: shop}}
spec: {{podSelector: {{}}, policyTypes: [Ingress]}}
---
"""


def pod(name: str, ip: str) -> str:
    return POD.format(name=name, ip=ip)


def policy(name: str) -> str:
    return POLICY.format(name=name)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "cluster"
    found.mkdir()
    return found


@pytest.fixture
def folder(place: Path) -> Iterator[Folder]:
    source = Folder(str(place), QUICK)
    yield source
    source.stop()


def taken(folder: Folder) -> Batch:
    assert folder.wait(WITHIN), folder.problems()
    return folder.take()


def nothing(folder: Folder, seconds: float = 0.3) -> None:
    assert not folder.wait(seconds), folder.take()


def began(folder: Folder, place: Path, text: str) -> Batch:
    (place / "cluster.yaml").write_text(text)
    folder.start()
    return taken(folder)


def names(batch: Batch) -> list[str]:
    """Of what is new or other, nothing being gone."""
    assert None not in (*batch.pods.values(), *batch.policies.values())
    return sorted([name for _, name in batch.pods] + [name for _, _, name in batch.policies])


def complaint(folder: Folder) -> str:
    deadline = time.monotonic() + WITHIN
    while not folder.problems() and time.monotonic() < deadline:
        time.sleep(0.01)
    return "\n".join(problem.text for problem in folder.problems())


def test_the_first_batch_has_everything(folder: Folder, place: Path) -> None:
    (place / "deeper").mkdir()
    (place / "deeper" / "policies.yml").write_text(policy("closed"))
    assert not folder.synced
    assert not folder.take()
    batch = began(folder, place, pod("web", "10.0.0.1"))
    assert folder.synced
    assert names(batch) == ["closed", "web"]
    assert batch.policies.keys() == {("NetworkPolicy", "shop", "closed")}


def test_a_changed_file_tells_what_is_other(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1") + pod("db", "10.0.0.2"))
    (place / "cluster.yaml").write_text(pod("web", "10.0.0.9") + pod("db", "10.0.0.2"))
    batch = taken(folder)
    assert names(batch) == ["web"]
    (found,) = batch.pods.values()
    assert found is not None
    assert found.ips == ("10.0.0.9",)


def test_a_file_renamed_over_another(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    (place / ".cluster.yaml.swp").write_text(pod("web", "10.0.0.2"))
    os.replace(place / ".cluster.yaml.swp", place / "cluster.yaml")
    assert names(taken(folder)) == ["web"]


def test_a_removed_file_takes_its_objects_along(folder: Folder, place: Path) -> None:
    (place / "more.yaml").write_text(policy("closed"))
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "more.yaml").unlink()
    assert taken(folder).policies == {("NetworkPolicy", "shop", "closed"): None}


def test_an_editor_that_moves_the_old_file_away_removes_nothing(folder: Folder, place: Path) -> None:
    """As vim does it with `backupcopy=no`, slowly."""
    (place / "more.yaml").write_text(policy("closed"))
    began(folder, place, pod("web", "10.0.0.1"))
    os.rename(place / "more.yaml", place / "more.yaml~")
    time.sleep(0.08)  # longer than a folder that lacks nothing is left alone
    (place / "more.yaml").write_text(policy("closed") + policy("open"))
    assert names(taken(folder)) == ["open"]


def test_half_a_save_counts_for_nothing(folder: Folder, place: Path) -> None:
    """A file that is open for writing, one whole object already in it, and other files that change meanwhile."""
    (place / "more.yaml").write_text(policy("one") + policy("two"))
    began(folder, place, pod("web", "10.0.0.1"))
    with (place / "more.yaml").open("w") as saving:
        saving.write(policy("one"))
        saving.flush()
        (place / "cluster.yaml").write_text(pod("web", "10.0.0.2"))
        assert names(taken(folder)) == ["web"]
        assert "more.yaml: is being written" in complaint(folder)
        saving.write(policy("two") + policy("three"))
    assert names(taken(folder)) == ["three"]
    deadline = time.monotonic() + WITHIN
    while folder.problems():
        assert time.monotonic() < deadline


def test_a_broken_file_says_what_it_said_before(folder: Folder, place: Path) -> None:
    (place / "more.yaml").write_text(policy("closed"))
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "more.yaml").write_text(policy("closed").replace("podSelector", "podSelektor"))
    assert "more.yaml:4:" in complaint(folder)
    nothing(folder)
    (place / "cluster.yaml").write_text(pod("web", "10.0.0.2"))
    assert names(taken(folder)) == ["web"], "others go on"
    (place / "more.yaml").write_text(policy("closed") + policy("mended"))
    assert names(taken(folder)) == ["mended"]
    assert not folder.problems()


def test_a_new_file_that_is_broken_is_refused(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "more.yaml").write_text("kind: [")
    assert "more.yaml:1:" in complaint(folder)
    nothing(folder)


def test_an_object_that_is_defined_twice_stays_what_it_was(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "dup.yaml").write_text(pod("web", "10.0.0.7") + pod("db", "10.0.0.8"))
    assert "already defined" in complaint(folder)
    nothing(folder)


def test_nothing_is_known_of_a_folder_that_begins_broken(folder: Folder, place: Path) -> None:
    (place / "more.yaml").write_text("kind: [")
    (place / "cluster.yaml").write_text(pod("web", "10.0.0.1"))
    folder.start()
    assert "more.yaml:1:" in complaint(folder)
    assert not folder.synced
    (place / "more.yaml").write_text(policy("closed"))
    assert names(taken(folder)) == ["closed", "web"]


def test_a_folder_without_files_is_no_empty_cluster(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "cluster.yaml").unlink()
    assert "no .yaml" in complaint(folder)
    nothing(folder)
    (place / "cluster.yaml").write_text(pod("web", "10.0.0.1") + policy("closed"))
    assert names(taken(folder)) == ["closed"]


def test_links_that_change_where_they_lead(folder: Folder, place: Path) -> None:
    """As the kubelet brings in another version of a ConfigMap: `..data` leads to a folder with all files."""
    for version, ip in (("1", "10.0.0.1"), ("2", "10.0.0.2")):
        (place / f"..{version}").mkdir()
        (place / f"..{version}" / "cluster.yaml").write_text(pod("web", ip))
    (place / "..data").symlink_to("..1")
    (place / "cluster.yaml").symlink_to("..data/cluster.yaml")
    folder.start()
    assert names(taken(folder)) == ["web"]
    (place / "..data_tmp").symlink_to("..2")
    os.rename(place / "..data_tmp", place / "..data")
    (found,) = taken(folder).pods.values()
    assert found is not None
    assert found.ips == ("10.0.0.2",)


def test_a_file_that_a_link_leads_to_elsewhere(folder: Folder, place: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "real.yaml").write_text(pod("web", "10.0.0.1"))
    (place / "cluster.yaml").symlink_to(tmp_path / "elsewhere" / "real.yaml")
    folder.start()
    taken(folder)
    (tmp_path / "elsewhere" / "real.yaml").write_text(pod("web", "10.0.0.2"))
    assert names(taken(folder)) == ["web"]


def test_a_new_folder_inside(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    (place / "new").mkdir()
    (place / "new" / "more.yaml").write_text(policy("closed"))
    assert names(taken(folder)) == ["closed"]
    (place / "new" / "more.yaml").write_text(policy("closed") + policy("open"))
    assert names(taken(folder)) == ["open"]


def test_programs_and_what_they_include(folder: Folder, place: Path, tmp_path: Path) -> None:
    (tmp_path / "names.inc.np").write_text("set office = { 192.0.2.0/24 }\n")
    program = 'include "../names.inc.np"\nnode {\n  allow office -> self : tcp/22\n}\n'
    (place / "guard.np").write_text(program)
    began(folder, place, pod("web", "10.0.0.1"))
    before = folder.program
    assert before.node
    (tmp_path / "names.inc.np").write_text("set office = { 198.51.100.0/24 }\n")
    assert not taken(folder)
    assert folder.program != before


def test_nothing_is_read_when_nothing_changes(folder: Folder, place: Path) -> None:
    began(folder, place, pod("web", "10.0.0.1"))
    os.utime(place / "cluster.yaml")
    (place / "notes.txt").write_text("nobody's")
    nothing(folder)
