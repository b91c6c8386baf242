"""Benchmarks. Each program prints a table of ratios to a baseline or a target that it names, measured in the same run.

- `python -m bench.packets`: what a packet costs on its way through the emitted rules (as root);
- `python -m bench.compile`: what a compile costs, the YAML reader, and the start of the command line;
- `python -m bench.language`: what a compile of 10,000 lines of the policy language costs;
- `python -m bench.verify`: what proofs cost;
- `python -m bench.reach`: what `netpolc reach` costs, to each format;
- `python -m bench.watching`: what listing and watching an API server costs the daemon;
- `python -m bench.importing`: what an import of 5,000 rules costs, with its proof;
- `python -m bench.optimize`: what `netpolc optimize` of 100,000 rules costs;
- `python -m bench.order`: what ordering rules gains, and how close to the best it comes, beside other ways;
- `python -m bench.order_packets`: what the order saves in the kernel, beside what it should (as root);
- `python -m bench.sets`: what sets of nft save in the kernel (as root);
- `python -m bench.iptables_updates`: what updates of a node's rules cost with iptables and ipset (as root);
- `python -m bench.nftables_updates`: the same with nftables (as root);
- `python -m bench.prices`: what one comparison of each kind costs (as root).

Most take `--quick`, which measures the same things less precisely, or `--rules` for smaller lists. Nothing is left on
disk.
"""
