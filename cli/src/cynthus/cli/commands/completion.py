"""`cynthus completion`."""

import click
from click.shell_completion import get_completion_class

from cynthus.cli.session import Session


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    r"""Print a completion script.

    \b
    bash: eval "$(cynthus completion bash)"   in ~/.bashrc
    zsh:  eval "$(cynthus completion zsh)"    in ~/.zshrc
    fish: cynthus completion fish > ~/.config/fish/completions/cynthus.fish
    """
    from cynthus.cli.app import root

    kind = get_completion_class(shell)
    assert kind is not None
    Session().print(kind(root, {}, "cynthus", "_CYNTHUS_COMPLETE").source())
