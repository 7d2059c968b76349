"""argv in, exit code out: the one wing that knows Typer and the terminal."""
