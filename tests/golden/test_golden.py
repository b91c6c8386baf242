"""The emitted text of small cases, byte for byte, and that every expected text is one that the tools take."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.golden.cases import FOLDER, OUTPUTS, Case, read

PATHS = sorted(FOLDER.glob("*.txt"))
ACTUAL = FOLDER.parents[1] / "build" / "golden"

#: One network namespace per check: nothing is loaded anywhere else, and it is gone afterwards.
CHECK_NFT = "nft --check -f netpolc.nft && nft -f netpolc.nft && nft -f netpolc.nft"
CHECK_IPTABLES = """
ipset restore < ipset.save && ipset restore < ipset.save || exit 1
for name in iptables ip6tables; do
  [ -e $name.save ] || continue
  $name-FLAVOUR-restore --test --noflush $name.save || exit 1
  $name-FLAVOUR-restore --noflush $name.save && $name-FLAVOUR-restore --noflush $name.save || exit 1
done
"""


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def case(request: pytest.FixtureRequest) -> Case:
    return read(request.param)  # now and not at import: --update may have written it a moment ago


def test_output_is_the_golden_one(case: Case, update: bool, tmp_path: Path) -> None:
    outputs = {section: case.run(tmp_path, *options) for section, options in OUTPUTS.items()}
    whole = case.text(outputs)
    if update:
        case.path.write_text(whole, encoding="utf-8")
    elif whole != case.path.read_text(encoding="utf-8"):
        ACTUAL.mkdir(parents=True, exist_ok=True)
        (ACTUAL / case.path.name).write_text(whole, encoding="utf-8")
        assert outputs == case.expected, f"what came out is in {ACTUAL / case.path.name}"
        pytest.fail(f"{case.path} is not in its normal form: {ACTUAL / case.path.name} is")


@pytest.mark.kernel
def test_nft_takes_the_golden_text(case: Case, tmp_path: Path) -> None:
    (tmp_path / "netpolc.nft").write_text(case.expected["nftables"], encoding="utf-8")
    in_own_namespace(CHECK_NFT, tmp_path)


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", ["legacy", "nft"])
def test_iptables_takes_the_golden_text(case: Case, flavour: str, tmp_path: Path) -> None:
    for name, text in files(case.expected["iptables"]).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    in_own_namespace(CHECK_IPTABLES.replace("FLAVOUR", flavour), tmp_path)


def test_every_case_has_a_title_and_all_sections() -> None:
    assert len(PATHS) >= 6
    for case in map(read, PATHS):
        assert case.title.strip(), case.path
        assert list(case.expected) == list(OUTPUTS), case.path


def files(stdout: str) -> dict[str, str]:
    """The files in what netpolc writes to standard output: each behind a line `### NAME ###`."""
    parts = re.split(r"^### (.+) ###\n", stdout, flags=re.MULTILINE)
    assert parts[0] == ""
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def in_own_namespace(script: str, folder: Path) -> None:
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
