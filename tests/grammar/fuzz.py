"""Programs with something changed, by the million: each is read to its end in little time, whatever is wrong with it.

    python -m tests.grammar.fuzz --inputs 1000000 --seed 7 --jobs 2        # or: make fuzz

Changes are made to the text of an example: characters and words that go, come, change places or come from elsewhere.
Of every input: no exception; no more than SECONDS; places that exist; flaws in the order of the text, each on a place
of its own; and what has none is laid out, read again, and still says the same. Exit status 1 when an input fails; it
is shown, as Python text.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from grammar import dsl
from grammar.dsl_recovery import MOST
from grammar.format import format_file
from grammar.source import Flaw, Source

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "fixtures" / "examples" / "language").glob("*.np"))
#: Wall-clock seconds for one input, on a machine that has other things to do.
SECONDS = 10

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
_PIECES = [
    *(
        "{",
        "}",
        "(",
        ")",
        '"',
        "#",
        "->",
        "<->",
        ":",
        ",",
        "/",
        "-",
        "+",
        "!",
        "=",
        ";",
        "\\",
        "*",
        "~",
        "\n",
        "\r\n",
        "\t",
    ),
    *("\0", "\x1b[31m", "\x7f", "\ufeff", "\u202e", "\xa0", "а", "“", "–", "→", "１", "\U0001f600", "\ud800"),
    *(
        "0",
        "65536",
        "0x",
        "0x1g",
        "10.0.0.256",
        "10.0.0.1/33",
        "1.2.3",
        "::",
        "2001:db8::/129",
        "1:2:3:4:5:6:7:8:9",
        "9" * 40,
    ),
    *(
        "tcp/",
        "icmp/redirect",
        "policy p {",
        "node {",
        "expect {",
        "set x = {",
        "allow ",
        "deny any -> any",
        "only ",
        "can reach",
    ),
    *(
        "a" * 300,
        "{" * 70,
        "(" * 70,
        "pods(" * 9,
        "namespace:",
        "and ",
        "except ",
        "unless from ",
        "log ",
        "limit 5/min ",
    ),
    *(
        "node packets {",
        "forward {",
        "within any -> any {",
        "within any -> any { " * 20,
        "leave any -> any ",
        "log any -> any ",
        "state new,",
        "marked 0x1/0x0 ",
        "source port 1-0,",
        "chance 1/2 ",
        "to kernel ",
        'opaque x iptables input "-p tcp -j DROP" ',
        'opaque y nft ipv6 "tcp dport { 1, 2 } drop" ',
        "local",
    ),
]


def examples() -> list[str]:
    """Whole files and what docs/DSL.md shows, and each of their definitions and blocks alone: a short text has more of
    its changes seen."""
    reference = (ROOT / "docs" / "DSL.md").read_text(encoding="utf-8")
    whole = [path.read_text(encoding="utf-8") for path in EXAMPLES]
    whole += re.findall(r"^```np\n(.*?)^```$", reference, re.MULTILINE | re.DOTALL)
    parts: list[str] = []
    for text in whole:
        tree = dsl.parse(Source("example.np", text), lambda flaw: None)
        assert tree is not None
        parts += (text[item.begin : item.end] + "\n" for item in tree.items)
    return [*whole, *(part for part in parts if len(part) > 60)]


def mutated(text: str, others: list[str], chance: random.Random) -> str:
    """A text with one to four changes."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        words = _WORD.findall(text) or [""]
        at, to = sorted(chance.choices(range(len(words)), k=2))
        kind = chance.randrange(9)
        if kind == 0:
            del words[at : at + chance.choice((1, 1, 3, 20))]
        elif kind == 1:
            words[at:at] = words[at : at + chance.choice((1, 3, 20))]
        elif kind == 2:
            words[at], words[to] = words[to], words[at]
        elif kind == 3:
            words[at] = chance.choice(_PIECES)
        elif kind == 4:
            words.insert(at, chance.choice(_PIECES))
        elif kind == 5:
            words[at] = chance.choice(_WORD.findall(chance.choice(others)))
        elif kind == 6:
            words[at] = _misspelt(words[at], chance)
        elif kind == 7:
            words[at:to] = [] if chance.random() < 0.5 else _WORD.findall(chance.choice(others))[:40]
        else:
            words = words[:at] if chance.random() < 0.5 else words[at:]
        text = "".join(words)[:20_000]
    return text


def _misspelt(word: str, chance: random.Random) -> str:
    at = chance.randrange(len(word) + 1)
    return word[:at] + chance.choice(("", "x", "-", ".", "9", word[:1])) + word[at + chance.randrange(2) :]


def judge(text: str) -> bool:
    """Whether the text is a program; AssertionError, or what the parser raises, when it is not read as it should be."""
    flaws: list[Flaw] = []
    source = Source("fuzz.np", text)
    tree = dsl.parse(source, flaws.append)
    assert (tree is None) == bool(flaws)
    assert len(flaws) <= MOST + 1
    lines = text.split("\n")
    places = [(flaw.span.line, flaw.span.column) for flaw in flaws]
    assert places == sorted(places)
    for flaw in flaws:
        assert flaw.message
        assert flaw.message.isprintable() or not text.isprintable()
        assert 1 <= flaw.span.line <= len(lines)
        assert 1 <= flaw.span.column <= len(lines[flaw.span.line - 1]) + 1
    if tree is None:
        return False
    laid_out = format_file(source, tree)
    again = Source("again.np", laid_out)
    same = dsl.parse(again, flaws.append)
    assert not flaws
    assert same == tree
    assert format_file(again, same) == laid_out
    return True


def run(seed: int, count: int) -> tuple[int, int, float, str]:
    """(inputs, programs among them, longest time in seconds, the input that failed and why)."""
    chance, texts = random.Random(seed), examples()
    right, longest = 0, 0.0
    signal.signal(signal.SIGALRM, _too_long)
    for done in range(count):
        text = mutated(chance.choice(texts), texts, chance)
        begin = time.perf_counter()
        signal.alarm(SECONDS)
        try:
            right += judge(text)
        except Exception as error:
            return done, right, longest, f"{type(error).__name__}: {error}\n{text!r}"
        finally:
            signal.alarm(0)
        longest = max(longest, time.perf_counter() - begin)
    return count, right, longest, ""


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"more than {SECONDS} s")


def runs(seed: int, inputs: int, jobs: int) -> Iterator[tuple[int, int, float, str]]:
    """Results of parts, as they come."""
    part = min(5000, inputs)
    with ProcessPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, seed * 1_000_003 + n, part) for n in range(inputs // part)]
        for future in futures:
            yield future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    asked = parser.parse_args()
    inputs = right = 0
    longest, begin = 0.0, time.monotonic()
    for count, good, slowest, failure in runs(asked.seed, asked.inputs, asked.jobs):
        inputs, right, longest = inputs + count, right + good, max(longest, slowest)
        print(
            f"{inputs} inputs, {right} of them programs, longest {longest:.2f} s, {time.monotonic() - begin:.0f} s",
            flush=True,
        )
        if failure:
            sys.exit(failure)


if __name__ == "__main__":
    main()
