"""Tests marked `kernel` need root and netfilter's tools. Where these are missing the tests fail: they are the proof
that the rules do what the policies say, and a skip would hide its absence. NETPOLC_NO_KERNEL=1 says that it is meant.

Random examples are the same in every run, so that a change passes or fails for what it is; NETPOLC_RANDOM=1 asks for
new ones. How long one takes is nobody's failure: two tests at a time share the processors with each other.
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache

import pytest
from hypothesis import settings

settings.register_profile("netpolc", deadline=None, derandomize=os.environ.get("NETPOLC_RANDOM") != "1")
settings.load_profile("netpolc")

_TOOLS = (
    *("nft", "ip", "ipset"),
    *("iptables-legacy-restore", "iptables-nft-restore", "ip6tables-legacy-restore", "ip6tables-nft-restore"),
)


@lru_cache
def _missing() -> str:
    """What a kernel test lacks here, as a reader's sentence; empty when nothing."""
    wanting = [tool for tool in _TOOLS if shutil.which(tool) is None]
    return ", ".join([*(["root"] if os.geteuid() else []), *wanting])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update", action="store_true", help="write expected outputs anew instead of comparing")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("kernel") is None:
        return
    if os.environ.get("NETPOLC_NO_KERNEL") == "1":
        pytest.skip("NETPOLC_NO_KERNEL=1: not judged by a kernel")
    if _missing():
        pytest.fail(f"needs {_missing()}; set NETPOLC_NO_KERNEL=1 to leave the kernel out knowingly", pytrace=False)
