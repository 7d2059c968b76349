"""Run as ``python -m llmcli``."""

from llmcli.cli.main import main

if __name__ == "__main__":
    main()
