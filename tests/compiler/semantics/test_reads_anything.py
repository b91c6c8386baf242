"""Texts of rules that are large, and texts that are broken: quick, and never anything but Refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from random import Random

import pytest

from compiler.semantics.rules import reads_ipset, reads_iptables, reads_nftables
from grammar.ruletext import Refused
from grammar.source import Source
from tests.kernel.pools import Pools
from tests.kernel.random_iptables import KINDS, RandomIptables
from tests.kernel.random_nft import RandomNft

MEMBERS = 100_000
SECONDS = 5.0


def host(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def in_time(read: Callable[[Source], object], text: str) -> None:
    began = time.process_time()
    read(Source("large", text))
    assert time.process_time() - began < SECONDS


def test_large_ipset() -> None:
    lines = [f"add x {host(n)},tcp:80,{host(n)}" for n in range(MEMBERS)]
    in_time(reads_ipset.read, "\n".join(["create x hash:ip,port,ip", *lines]))


def test_large_nft_set_and_map() -> None:
    cells = ",\n".join(f"{host(n)} . tcp . 80" for n in range(MEMBERS // 2))
    verdicts = ", ".join(f"{host(n)} : goto c" for n in range(MEMBERS // 2))
    text = (
        f"table inet t {{\nset x {{\ntype ipv4_addr . inet_proto . inet_service\nelements = {{ {cells} }}\n}}\n"
        f"map y {{\ntype ipv4_addr : verdict\nelements = {{ {verdicts} }}\n}}\nchain c {{ }}\n}}\n"
    )
    in_time(reads_nftables.read, text)


def test_many_rules() -> None:
    """10,000 of each, in half the time."""
    rules = [f"-A FORWARD -s {host(n)}/32 -p tcp -m tcp --dport {n} -j ACCEPT" for n in range(10_000)]
    in_time(lambda source: reads_iptables.read(source, 4, {}), "\n".join(["*filter", *rules, "COMMIT"]))
    lines = [f"ip saddr {host(n)} tcp dport {n} accept" for n in range(10_000)]
    in_time(reads_nftables.read, "\n".join(["table inet t {", "chain c {", *lines, "}", "}"]))


STRAY = ("!", "{", "}", '"', ":", "é", "\0", "-m", "-j", "\n", "@x", "vmap", "elements", "0x", "1-", "-exist", "٣", ".")


def broken(chosen: Random, text: str) -> str:
    """The text with a few words lost, doubled, swapped, cut or put in."""
    words = re.split(r"(\s+)", text)
    for _ in range(chosen.choice((1, 1, 2, 5))):
        at, other = chosen.randrange(len(words)), chosen.randrange(len(words))
        match chosen.randrange(5):
            case 0:
                words[at] = ""
            case 1:
                words[at] = words[other]
            case 2:
                words[at] = words[at][:-1]
            case 3:
                words[at] += chosen.choice(STRAY)
            case 4:
                words[at], words[other] = words[other], words[at]
    whole = "".join(words)
    return whole[: chosen.randrange(len(whole))] if chosen.random() < 0.1 else whole


@pytest.mark.parametrize("seed", range(8))
def test_broken_texts_are_read_or_refused(seed: int) -> None:
    chosen = Random(seed)
    files = RandomIptables(Pools(chosen), list(KINDS)).files | {"nft": RandomNft(Pools(chosen)).text}
    sets = reads_ipset.read(Source("sets", files["ipset.save"]))
    readers: dict[str, Callable[[Source], object]] = {
        "ipset.save": reads_ipset.read,
        "iptables.save": lambda source: reads_iptables.read(source, 4, sets),
        "ip6tables.save": lambda source: reads_iptables.read(source, 6, sets),
        "nft": reads_nftables.read,
    }
    refused: list[Refused] = []
    for name, read in readers.items():
        read(Source(name, files[name]))
        for _ in range(60):
            try:
                read(Source(name, broken(chosen, files[name])))
            except Refused as found:
                refused.append(found)
    assert len(refused) > 60
    assert all(found.flaw.span.line > 0 and found.flaw.message for found in refused)
