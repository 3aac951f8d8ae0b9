"""What `--help` says: every option is explained, and no line of a list of commands is cut."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from vadose.cli import root


def commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(("vadose", *words)), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from commands(found, (*words, name))


EVERY = dict(commands(root))


@pytest.mark.parametrize("name", EVERY)
def test_every_command_and_option_is_explained(name):
    command = EVERY[name]
    assert command.help, name
    unsaid = [o.opts[-1] for o in command.params if isinstance(o, click.Option) and not o.help]
    assert not unsaid, f"{name}: {unsaid} have no help"


@pytest.mark.parametrize("name", [n for n, c in EVERY.items() if isinstance(c, click.Group)])
def test_no_line_of_a_list_of_commands_is_cut(name):
    with click.Context(EVERY[name], info_name=name, max_content_width=80) as context:
        shown = EVERY[name].get_help(context)
    cut = [line for line in shown.partition("Commands:")[2].splitlines() if line.endswith("...")]
    assert not cut, f"give these a short_help: {cut}"
