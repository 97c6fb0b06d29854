"""Which commit the code is of."""

import subprocess
from pathlib import Path


def commit_of(*folders: Path) -> str:
    """The last commit that touched these folders, with `-dirty` where their files differ from it.

    Not HEAD: a commit elsewhere changes nothing about the model, and must not rebuild it.
    """
    try:
        commit = git("log", "-1", "--format=%H", "--", *map(str, folders), cwd=folders[0])
        changed = git("status", "--porcelain", "--", *map(str, folders), cwd=folders[0])
    except (subprocess.CalledProcessError, FileNotFoundError):
        return "unknown"  # an unpacked archive, or no git: said so rather than guessed
    return f"{commit or 'uncommitted'}{'-dirty' if commit and changed else ''}"


def git(*arguments: str, cwd: Path) -> str:
    """What git prints."""
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()
