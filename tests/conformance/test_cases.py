"""Other projects' conformance suites, every row: the oracle says what they expect, and so do real kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from compiler.errors import InvalidInput
from compiler.sources.manifests import load
from tests.conformance.cases import DEFAULT_FOLDER, FOLDER, Case, State, cases
from tests.conformance.judged import Judged
from tests.kernel.rig import FLAVOURS
from tests.property.crossings import Rigs, kernel_verdicts

CASES = tuple(cases())
every_case = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name) for case in CASES]
    or [pytest.param(None, id="none", marks=pytest.mark.skip(reason=f"no netpolc-cases/1 file in {FOLDER}"))],
)


@pytest.fixture(scope="module")
def rigs() -> Iterator[Rigs]:
    found = Rigs()
    yield found
    found.close()


@every_case
def test_oracle(case: Case) -> None:
    for state in case.states():
        judged = Judged(state)
        for row, packet in judged.rows:
            found = judged.oracle.connection(packet)
            assert found.allowed == row.allowed, f"{state.title}: {row}: {found}"
            for told, ruling in ((row.ingress, found.ingress), (row.egress, found.egress)):
                assert told in (None, ruling.allowed), f"{state.title}: {row}: {ruling}"


#: Suites that no API server would let in: v0.1.8 has podSelector and namespaceSelector as required fields of
#: NamespacedPod. netpolc refuses them as well; the tests above and below judge what their parser made of them.
REFUSED = {
    "np-guard-selectors-a/exposure_test_with_anp_12": 2,
    "np-guard-selectors-a/exposure_test_with_anp_14": 1,
    "np-guard-selectors-a/exposure_test_with_anp_16": 2,
}


def problems(state: State) -> Counter[str]:
    """The codes of what netpolc refuses in the objects as the suite wrote them."""
    try:
        load([("case.json", state.text)])
    except InvalidInput as error:
        return Counter(problem.code for problem in error.diagnostics)
    return Counter()


@every_case
def test_input_is_taken_as_an_api_server_takes_it(case: Case) -> None:
    for state in case.states():
        found = problems(state)
        if case.name in REFUSED:
            assert found == {"required": REFUSED[case.name]}
        else:  # of another folder's cases we cannot know which are good; what these lack must still be that
            assert not found or (FOLDER != DEFAULT_FOLDER and set(found) == {"required"}), found


@pytest.mark.kernel
@pytest.mark.parametrize("flavour", FLAVOURS)
@every_case
def test_kernel(case: Case, flavour: str, rigs: Rigs) -> None:
    for state in case.states():
        judged = Judged(state)
        packets = [packet for _, packet in judged.rows]
        verdicts = kernel_verdicts(rigs, judged.wiring, lambda node: [judged.files(node, flavour)], flavour, packets)  # noqa: B023
        for n, (row, _) in enumerate(judged.rows):
            assert all(verdicts[n].values()) == row.allowed, f"{state.title}: {row}: {verdicts[n]}"
