"""Completion for bash and zsh, made from the command line's own parser. PURE."""

from __future__ import annotations

import argparse

_BASH = """\
_portalctl() {{
    local words="{commands}"
    case " ${{COMP_WORDS[*]:1:COMP_CWORD-1}} " in
{cases}
    esac
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -F _portalctl portalctl
"""
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the text that a shell sources."""
    commands = _commands(parser)
    cases = "\n".join(
        f'        *" {name} "*) words="{" ".join(_words(command))}" ;;'
        for name, command in commands.items()
    )
    text = _BASH.format(commands=" ".join([*commands, *_own_flags(parser)]), cases=cases)
    return (_ZSH if shell == "zsh" else "") + text.rstrip()


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _own_flags(parser: argparse.ArgumentParser) -> list[str]:
    flags = [option for action in parser._actions for option in action.option_strings]
    return [flag for flag in flags if flag.startswith("--")]


def _words(parser: argparse.ArgumentParser) -> list[str]:
    found: list[str] = []
    for action in parser._actions:
        found += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                found += [name, *_words(inner)]
        elif action.choices:
            found += [str(choice) for choice in action.choices]
    return list(dict.fromkeys(found))
