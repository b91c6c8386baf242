# Shortcuts. `run/demo` and `run/tests` are the two commands that set themselves up.
.PHONY: cluster-cases hitless mutants demo tests check golden lock soak trace-soak fuzz grammar apiserver

demo:
	run/demo

tests:
	run/tests

# Lint and types alone.
check:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Writes the golden rulesets anew; read the difference before you commit it.
golden:
	.venv/bin/pytest -q tests/golden --update

# The locks of requirements/, without any address in them. Needs uv (pip install uv).
UV_COMPILE = uv pip compile --quiet --python-version 3.11 --universal --generate-hashes \
	--no-header --no-annotate --no-emit-index-url

lock:
	$(UV_COMPILE) pyproject.toml --extra enforcer --group build --output-file requirements/run.txt
	$(UV_COMPILE) pyproject.toml --extra editor --extra enforcer --group build --group test --constraint requirements/run.txt \
		--output-file requirements/dev.txt
	$(UV_COMPILE) --group analyzer --output-file requirements/analyzer.txt

# Every conformance case through a running cluster of network namespaces, an enforcer in each node, with all back ends,
# as root: half an hour.
cluster-cases:
	NETPOLC_CLUSTER_CASES=all .venv/bin/python -m pytest -q -p no:cacheprovider tests/cluster/test_cases.py

# 1,000 changes of every kind under traffic with each back end, the enforcer killed in between, as root: nothing may be
# lost or leaked. HITLESS='--changes 100 --flavour nftables --seed 7' for less or for others.
hitless:
	.venv/bin/python -m tests.cluster.hitless $(HITLESS)

# Random packets through real netfilter against the oracle, as root: 10^7 take half an hour on two cores.
# SOAK='--packets 100000 --flavour nftables --seed 7' for less or for others.
soak:
	.venv/bin/python -m tests.property.soak $(SOAK)

# Random rulesets, not of ours, and packets at their edges: the tracer against the kernel, as root.
# TRACE='--packets 100000 --seed 7' for fewer or for others.
trace-soak:
	.venv/bin/python -m tests.kernel.random_rulesets $(TRACE)

# Mistakes planted in emitted texts and lowered rulesets, each judged by the proof and by the tracer; lists what the proof
# does not catch. MUTANTS='--clusters 10 --seed 7' for less or for others.
mutants:
	.venv/bin/python -m tests.property.mutants $(MUTANTS)

# Changed programs of the policy language through its parser and its layout. FUZZ='--inputs 20000 --seed 7' for less or
# for others.
fuzz:
	.venv/bin/python -m tests.grammar.fuzz $(FUZZ)

# The tables of the policy language's grammar, after a change of grammar/dsl.lark.
grammar:
	PYTHONHASHSEED=0 .venv/bin/python -m tests.grammar.tables

# A real kube-apiserver for tests/enforcer, outside the tree: six minutes on two cores, with Go 1.26. Debian's etcd-server
# serves it. Not needed where KUBEBUILDER_ASSETS names a folder with both.
apiserver:
	.venv/bin/python -m tests.enforcer.kube_apiserver
