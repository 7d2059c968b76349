"""Run as ``python -m llmcli``."""

from llmcli.cli import main

if __name__ == "__main__":
    main()
