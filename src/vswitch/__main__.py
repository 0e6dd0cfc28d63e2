"""`python -m vswitch` is the `vswitch` command."""

from vswitch.cli.entry import main

main()
