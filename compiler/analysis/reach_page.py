"""A reach as one self-contained HTML page: matrix and graph, for a browser without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass

from compiler.analysis.reach import Reach
from compiler.analysis.reach_text import value


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of the page; `html` says where the others and the data go."""

    html: str
    style: str
    script: str


def page(found: Reach, template: Template) -> str:
    """The page. Data goes in as JSON that no HTML parser can take for markup; the script puts all of it in place as
    text."""
    data = json.dumps(value(found), separators=(",", ":"))
    for unsafe, safe in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        data = data.replace(unsafe, safe)
    made = template.html.replace("/*STYLE*/", template.style).replace("/*SCRIPT*/", template.script)
    return made.replace("/*DATA*/", data)
