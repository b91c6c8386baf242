"""A listener to NFLOG groups in a network namespace of a test."""

from __future__ import annotations

from enforcer.telling import nflog
from tests.kernel.namespace import Namespace


class Listener(nflog.Listener):
    """`with Listener(namespace, group) as log:`; hears what comes from then on."""

    def __init__(self, namespace: Namespace, group: int) -> None:
        with namespace:
            super().__init__(group)
