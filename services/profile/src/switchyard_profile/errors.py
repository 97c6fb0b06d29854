"""What can be wrong with a table or a profile, in sentences that name the place and what helps."""

from __future__ import annotations


class ProfileError(Exception):
    """The caller must change the table, the options or the profile; trying again cannot help."""


class TableError(ProfileError):
    """A table that no profile can be made of. The message names the column, the value and what helps."""


class UnreadableProfile(ProfileError):
    """Bytes that are no profile, or one of another release. The message names the field."""


class OtherBaseline(ProfileError):
    """Two profiles that were counted in different bins cannot be added."""
