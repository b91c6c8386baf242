"""Commands of the daemon, one a file; `compiler.cli.main` knows them by name."""
