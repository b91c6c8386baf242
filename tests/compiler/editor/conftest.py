"""`netpolc` runs the command line here, too."""

from tests.compiler.cli.conftest import netpolc as netpolc
