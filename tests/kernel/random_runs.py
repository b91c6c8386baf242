"""Random rulesets of nft with runs of rules that ask the same fields: what becomes sets and maps."""

from __future__ import annotations

from collections.abc import Iterator

from tests.kernel.pools import MARKS, Pools

_FIELDS = ("saddr", "daddr", "port", "far port", "mark", "in", "out", "protocol", "state")
_PROTOCOLS = ("tcp", "udp", "udplite", "icmp", "gre", "253")
_STATES = ("new", "established", "related", "invalid", "untracked")


class RandomRuns:
    """`text` is the script. Rules of a run ask the same fields, some of them for the same values; most do one of a few
    things, some count."""

    def __init__(self, pools: Pools) -> None:
        self._pools = pools
        self._chosen = pools.chosen
        self._family = self._chosen.choice((4, 4, 6))
        self.text = "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "add table inet dice"
        yield "table inet dice {"
        for name in ("c0", "c1"):
            yield f"\tchain {name} {{"
            yield from self._run(("accept", "drop", "return"))
            yield "\t}"
        for hook in ("forward", "input", "output"):
            yield f"\tchain {hook} {{"
            yield f"\t\ttype filter hook {hook} priority 0; policy {self._chosen.choice(('accept', 'accept', 'drop'))};"
            for _ in range(self._chosen.randint(1, 3)):
                yield from self._run(("accept", "drop", "jump c0", "goto c1", "return", "continue"))
            yield "\t}"
        yield "}"

    def _run(self, verdicts: tuple[str, ...]) -> Iterator[str]:
        chosen = self._chosen
        fields = chosen.sample(_FIELDS, chosen.randint(1, 3))
        transport = chosen.choice(("tcp", "udp"))
        if "protocol" in fields:  # nft takes no port of one beside another
            fields = [field for field in fields if not field.endswith("port")]
        varying = set(chosen.sample(fields, chosen.randint(1, len(fields))))
        kept = {field: self._asked(field, transport, False) for field in fields}
        count = chosen.choice(("", "", "counter ", "counter packets 3 bytes 99 "))
        says = chosen.choice(("", "", "", 'log prefix "x" ', "meta mark set 0x7 "))
        ranges = chosen.random() < 0.3
        few = chosen.sample(verdicts, 2)
        same = chosen.random() < 0.5
        for _ in range(chosen.randint(2, 30)):
            asked = [self._asked(one, transport, ranges) if one in varying else kept[one] for one in fields]
            verdict = few[0] if same else chosen.choice(few)
            yield f"\t\t{' '.join(asked)} {count}{says}{verdict}"

    def _asked(self, field: str, transport: str, ranges: bool) -> str:
        chosen, pools = self._chosen, self._pools
        low = pools.port()
        match field:
            case "saddr" | "daddr":
                value = pools.block(self._family) if ranges else pools.host(self._family)
                return f"{'ip' if self._family == 4 else 'ip6'} {field} {value}"
            case "port" | "far port":
                high = min(65535, low + chosen.randint(1, 9))
                span = f"{low}-{high}" if ranges and high > low else f"{low}"
                return f"{transport} {'dport' if field == 'port' else 'sport'} {span}"
            case "mark":
                return f"meta mark {chosen.choice(MARKS)}"
            case "in" | "out":
                return f'{"iifname" if field == "in" else "oifname"} "{chosen.choice(("tin", "tout", "lo", "eth0"))}"'
            case "protocol":
                return f"meta l4proto {chosen.choice(_PROTOCOLS)}"
            case _:
                return f"ct state {chosen.choice(_STATES)}"
