"""The command `hqsam`: ``hqsam train ...`` is ``python -m hqsam_lightning.train ...``."""

from __future__ import annotations

import os
import runpy
import sys

from hqsam_lightning.help import COMMANDS, command_list
from hqsam_lightning.runtime.output import stop_without_reader


def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        with stop_without_reader():
            print(command_list())
        return
    if name not in {command.split()[0] for command in COMMANDS}:
        print(f"error: expected a command, one of {', '.join(COMMANDS)}; got {name!r}", file=sys.stderr)
        sys.exit(1)
    del sys.argv[1]
    # as `python -m` does: modules of a user are found in the folder that the command is started in
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    runpy.run_module(f"hqsam_lightning.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
