"""One module a command; `hitless_cli.__main__` names them all."""
